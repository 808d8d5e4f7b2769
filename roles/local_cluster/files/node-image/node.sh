# shellcheck shell=bash disable=SC2154
# The node itself: a Debian system with containerd and the kubelet, then the component images inside it. Sourced by build.

step_system() {
  [[ -e $WORK/system.done ]] && return
  echo "== the node's Debian system ($suite)"
  rm -rf "$system"
  debootstrap --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --variant=minbase \
    --include=systemd,systemd-sysv,dbus,ca-certificates "$suite" "$system" >"$WORK/debootstrap.log" 2>&1
  cp /etc/resolv.conf "$system/etc/resolv.conf"
  # The machine's own sources where it runs the same release, so that security updates come in too.
  if grep -q "VERSION_CODENAME=$suite" /etc/os-release; then
    rm -f "$system/etc/apt/sources.list"
    cp -a /etc/apt/sources.list "$system/etc/apt/" 2>/dev/null || true
    cp -a /etc/apt/sources.list.d/. "$system/etc/apt/sources.list.d/" 2>/dev/null || true
  fi
  printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d" # packages start no services here
  chmod +x "$system/usr/sbin/policy-rc.d"
  chroot "$system" apt-get update -qq
  chroot "$system" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    containerd runc containernetworking-plugins iptables nftables iproute2 conntrack ethtool socat mount util-linux \
    procps kmod jq curl iputils-ping >"$WORK/apt.log" 2>&1
  chroot "$system" sh -c 'cd /tmp && apt-get download -qq busybox && dpkg-deb -x busybox_*.deb x && mv x/bin/busybox /opt/ &&
    rm -rf x busybox_*.deb' >>"$WORK/apt.log" 2>&1
  touch "$WORK/system.done"
}

# Units that have no place in a container, and everything kubelet needs switched on.
arrange_units() {
  local node=$1
  rm -f "$node"/usr/lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* "$node"/etc/systemd/system/*.wants/* \
    "$node"/usr/lib/systemd/system/sockets.target.wants/*{udev,initctl}* \
    "$node"/usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
    "$node"/usr/lib/systemd/system/timers.target.wants/* "$node"/usr/lib/sysctl.d/* "$node/etc/sysctl.d/99-sysctl.conf"
  mkdir -p "$node"/etc/systemd/{system/multi-user.target.wants,journald.conf.d}
  ln -s ../kubelet.service ../containerd.service "$node/etc/systemd/system/multi-user.target.wants/"
  ln -s /dev/null "$node/etc/systemd/system/systemd-binfmt.service"
  printf '[Journal]\nReadKMsg=no\nStorage=volatile\nRuntimeMaxUse=64M\n' >"$node/etc/systemd/journald.conf.d/node.conf"
}

step_base() {
  echo "== node image, first layer: the system"
  local node=$WORK/node program
  rm -rf "$node"
  mkdir -p "$node"
  tar -C "$system" --exclude=./var/cache/apt/'*' --exclude=./var/lib/apt/lists/'*' --exclude=./var/log/'*' \
    --exclude=./usr/share/{doc,man,locale,info}/'*' --exclude=./usr/share/zoneinfo --exclude=./usr/lib/cni \
    --exclude='./usr/lib/*-linux-gnu/gconv' --exclude=./usr/bin/containerd-{shim,shim-runc-v1,stress} \
    --exclude=./{proc,sys,dev}/'*' --exclude=./usr/sbin/policy-rc.d --exclude=./opt/busybox -c . | tar -C "$node" -x
  mkdir -p "$node"/{opt/cni/bin,kind,etc/kubernetes/manifests,var/log/journal,proc,sys,dev}
  cp "$system"/usr/lib/cni/{host-local,loopback,ptp,portmap,bridge} "$node/opt/cni/bin/"
  cp -a "$here/node/." "$node/"
  sed -i "s|@PAUSE_IMAGE@|$(component_image pause)|" "$node/etc/containerd/config.toml"
  chmod 755 "$node/usr/local/bin/entrypoint"
  install -m755 "$bin/crictl" "$node/usr/bin/"
  install -m755 "$bin/$hyperkube" "$node/usr/bin/hyperkube"
  for program in kubelet kubeadm kubectl; do ln -s hyperkube "$node/usr/bin/$program"; done
  printf %s "$kubernetes" >"$node/kind/version"
  rm -f "$node"/etc/{machine-id,hostname}
  arrange_units "$node"
  chmod 755 "$node"
  import_image "$node" "$IMAGE-base" 'ENV container=docker' "$path" \
    'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]'
  rm -rf "$node"
}

step_node() {
  echo "== node image, second layer: the component images"
  local container images tries=0
  container=$(docker run --detach --security-opt seccomp=unconfined --network none --entrypoint sleep "$IMAGE-base" infinity)
  # shellcheck disable=SC2064
  trap "docker rm --force $container >/dev/null" RETURN
  docker exec --detach "$container" containerd
  until docker exec "$container" ctr version >/dev/null 2>&1; do
    ((++tries < 60)) || { echo "containerd did not start in the node image" >&2; return 1; }
    sleep 0.5
  done
  mapfile -t images < <(preloaded_images)
  docker save "${images[@]}" | docker exec --interactive "$container" ctr --namespace=k8s.io images import --no-unpack --digests - >/dev/null
  docker exec "$container" sh -c 'kill $(pgrep -x containerd); while pgrep -x containerd >/dev/null; do sleep 0.2; done
    rm -rf /run/containerd /var/lib/containerd/tmpmounts'
  docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]' --change 'CMD []' "$container" "$IMAGE-plain" >/dev/null
  # `docker commit` cannot set the signal systemd stops on
  printf 'FROM %s\nSTOPSIGNAL SIGRTMIN+3\n' "$IMAGE-plain" | docker build --quiet --tag "$IMAGE" - >/dev/null
  echo "== $IMAGE, $(($(docker image inspect --format '{{.Size}}' "$IMAGE") / 1000000)) MB"
}
