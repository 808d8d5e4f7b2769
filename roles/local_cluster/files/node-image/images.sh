# shellcheck shell=bash disable=SC2154
# The images of the cluster's components, each one layer made from a folder. Sourced by build.

# import_image FOLDER NAME CHANGE...
import_image() {
  local folder=$1 name=$2 change changes=()
  shift 2
  for change in "$@"; do changes+=(--change "$change"); done
  tar -C "$folder" --sort=name --mtime="@$epoch" --owner=0 --group=0 -c . | docker import "${changes[@]}" - "$name" >/dev/null
}

# What kubeadm of this version will ask for, by component: its names and versions are part of Kubernetes.
component_image() {
  (exec -a kubeadm "$bin/$hyperkube" config images list --kubernetes-version "$kubernetes" 2>/dev/null) |
    grep -E "/$1:" || { echo "kubeadm names no image for $1" >&2; return 1; }
}

kubernetes_components=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy)

# Everything that goes into the node's containerd.
preloaded_images() {
  local name
  for name in pause etcd coredns "${kubernetes_components[@]}"; do component_image "$name"; done
  printf '%s\n' "node.local/local-path-provisioner:$local_path" "node.local/busybox:$busybox" \
    "node.local/metrics-server:$metrics_server"
}

# Copies the shared libraries that programs of the system need, and their loader, to the same places in FOLDER.
copy_libraries() {
  local folder=$1 library
  shift
  mkdir -p "$folder"/usr/lib "$folder"/usr/lib64
  [[ -e $folder/lib ]] || ln -s usr/lib "$folder/lib"
  [[ -e $folder/lib64 ]] || ln -s usr/lib64 "$folder/lib64"
  chroot "$system" ldd "$@" 2>/dev/null | grep -oE '/(usr/)?lib[^ ]+\.so[^ :]*' | sort -u | while read -r library; do
    mkdir -p "$folder/$(dirname "$library")"
    cp --dereference "$system/$library" "$folder/$library"
  done
}

# single_program PROGRAM IMAGE ENTRYPOINT
single_program() {
  local folder
  folder=$(mktemp -d "$WORK/image.XXXX")
  mkdir -p "$folder"/{usr/local/bin,etc,tmp}
  chmod 1777 "$folder/tmp"
  chmod 755 "$folder"
  echo 'root:x:0:0:root:/:/sbin/nologin' >"$folder/etc/passwd"
  cp "$bin/$1" "$folder/usr/local/bin/"
  [[ $1 != etcd ]] || cp "$bin/etcdctl" "$folder/usr/local/bin/"
  import_image "$folder" "$2" "$path" "ENTRYPOINT [\"$3\"]"
  rm -rf "$folder"
}

busybox_image() {
  local folder applet
  folder=$(mktemp -d "$WORK/image.XXXX")
  chmod 755 "$folder"
  mkdir -p "$folder"/{bin,tmp,etc}
  chmod 1777 "$folder/tmp"
  cp "$system/opt/busybox" "$folder/bin/busybox"
  copy_libraries "$folder" /opt/busybox
  # a lookup of names opens it at run time, so ldd does not show it
  cp --dereference "$system"/lib/*-linux-gnu/libresolv.so.2 "$(dirname "$(find "$folder/usr/lib" -name libc.so.6)")/"
  for applet in $("$system/opt/busybox" --list); do
    [[ $applet == busybox ]] || ln -s busybox "$folder/bin/$applet"
  done
  printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$folder/etc/passwd"
  import_image "$folder" "node.local/busybox:$busybox" "$path" 'CMD ["sh"]'
  rm -rf "$folder"
}

# One image under the names of four components, so that it is stored and unpacked once. kube-proxy needs iptables.
kubernetes_image() {
  local folder name libraries modules
  folder=$(mktemp -d "$WORK/image.XXXX")
  chmod 755 "$folder"
  libraries=$(cd "$system" && echo usr/lib/*-linux-gnu)
  mkdir -p "$folder"/{usr/local/bin,usr/sbin,run,tmp,etc,"$libraries"}
  ln -s usr/sbin "$folder/sbin"
  ln -s usr/sbin "$folder/bin"
  cp "$bin/$hyperkube" "$folder/usr/local/bin/hyperkube"
  for name in "${kubernetes_components[@]}" kubectl; do ln -s hyperkube "$folder/usr/local/bin/$name"; done
  cp "$system"/usr/sbin/{xtables-nft-multi,nft} "$folder/usr/sbin/"
  for name in {ip,ip6}tables{,-save,-restore}; do ln -s xtables-nft-multi "$folder/usr/sbin/$name"; done
  cp -a "$system/$libraries/xtables" "$folder/$libraries/"
  modules=("$system/$libraries"/xtables/*.so)
  copy_libraries "$folder" /usr/sbin/xtables-nft-multi /usr/sbin/nft "${modules[@]#"$system"}"
  import_image "$folder" "node.local/kubernetes:$kubernetes" "$path"
  for name in "${kubernetes_components[@]}"; do docker tag "node.local/kubernetes:$kubernetes" "$(component_image "$name")"; done
  rm -rf "$folder"
}

step_components() {
  echo "== images of the cluster's components"
  single_program pause "$(component_image pause)" /usr/local/bin/pause
  single_program coredns "$(component_image coredns)" /usr/local/bin/coredns
  single_program etcd "$(component_image etcd)" etcd
  single_program local-path-provisioner "node.local/local-path-provisioner:$local_path" local-path-provisioner
  single_program metrics-server "node.local/metrics-server:$metrics_server" metrics-server
  busybox_image
  kubernetes_image
}
