# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The access modes that well-known provisioners offer, as a StorageClass does not say so itself. Pure."""

from __future__ import annotations

from typing import Any

ONE_NODE = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})
READ_MANY = ONE_NODE | {"ReadOnlyMany"}
ALL = READ_MANY | {"ReadWriteMany"}

# From each driver's documentation; "Volume Mode: Filesystem" where it makes a difference.
_MODES: dict[str, frozenset[str]] = {
    "rancher.io/local-path": ONE_NODE,
    "k8s.io/minikube-hostpath": ALL,
    "docker.io/hostpath": ALL,
    "microk8s.io/hostpath": ALL,
    "kubernetes.io/no-provisioner": ONE_NODE,  # local volumes, made by hand
    "topolvm.io": ONE_NODE,
    "openebs.io/local": ONE_NODE,
    "local.csi.openebs.io": ONE_NODE,
    "ebs.csi.aws.com": ONE_NODE,
    "ebs.csi.eks.amazonaws.com": ONE_NODE,
    "kubernetes.io/aws-ebs": ONE_NODE,
    "efs.csi.aws.com": ALL,
    "fsx.csi.aws.com": ALL,
    "pd.csi.storage.gke.io": READ_MANY,
    "kubernetes.io/gce-pd": READ_MANY,
    "filestore.csi.storage.gke.io": ALL,
    "disk.csi.azure.com": ONE_NODE,
    "kubernetes.io/azure-disk": ONE_NODE,
    "file.csi.azure.com": ALL,
    "kubernetes.io/azure-file": ALL,
    "cinder.csi.openstack.org": ONE_NODE,
    "manila.csi.openstack.org": ALL,
    "csi.vsphere.vmware.com": ONE_NODE,
    "dobs.csi.digitalocean.com": ONE_NODE,
    "csi.hetzner.cloud": ONE_NODE,
    "linodebs.csi.linode.com": ONE_NODE,
    "driver.longhorn.io": ALL,
    "nfs.csi.k8s.io": ALL,
    "smb.csi.k8s.io": ALL,
    "cluster.local/nfs-subdir-external-provisioner": ALL,
    "k8s-sigs.io/nfs-subdir-external-provisioner": ALL,
    "rbd.csi.ceph.com": READ_MANY,
    "cephfs.csi.ceph.com": ALL,
}
_BLOCK_MANY = frozenset({"rbd.csi.ceph.com", "disk.csi.azure.com", "pd.csi.storage.gke.io", "ebs.csi.aws.com"})
_SUFFIXED = ("rbd.csi.ceph.com", "cephfs.csi.ceph.com")  # Rook puts its namespace before the driver's name
DEFAULT = "storageclass.kubernetes.io/is-default-class"


def modes(provisioner: str, volume_mode: str = "Filesystem") -> frozenset[str] | None:
    """The access modes of a provisioner, None when it is not one we know."""
    name = next((suffix for suffix in _SUFFIXED if provisioner.endswith(f".{suffix}")), provisioner)
    if volume_mode == "Block" and name in _BLOCK_MANY:  # several nodes may share a raw device
        return ALL
    return _MODES.get(name)


def default(classes: dict[str, dict[str, Any]]) -> str:
    """The class of claims that name none: the newest of those marked so, as the admission plugin takes it."""
    marked = [
        (str(item["metadata"].get("creationTimestamp", "")), name)
        for name, item in classes.items()
        if (item["metadata"].get("annotations") or {}).get(DEFAULT) == "true"
    ]
    return max(marked)[1] if marked else ""
