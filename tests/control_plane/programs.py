"""The programs of a control plane: their folder in the cache, and the playbook that builds them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")


def cached() -> Path:
    """Return the folder that `roles/local_cluster/files/node-image/build control_plane` writes to for this user."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "memory-graph" / "control-plane" / "bin"


def missing(version: str) -> list[str]:
    """Return the names of the programs that are not in the cache."""
    return [name for name in ("etcd", "kwok", f"hyperkube-{version}") if not (cached() / name).exists()]


def build(version: str) -> None:
    """Build the missing programs, with progress on standard output.

    :raises subprocess.CalledProcessError: when that fails; the error has been printed.
    """
    playbook = Path(sys.executable).parent / "ansible-playbook"
    command = [str(playbook), "playbooks/control_plane.yml", "-i", "inventories/local"]
    subprocess.run([*command, "-e", f"local_cluster_kubernetes_version={version}"], cwd=ROOT, check=True)


def link(version: str, folder: Path) -> Path:
    """Link every program into `folder` by its name and return that; those of Kubernetes are one executable."""
    folder.mkdir()
    for name in KUBERNETES_PROGRAMS:
        (folder / name).symlink_to(cached() / f"hyperkube-{version}")
    for name in ("etcd", "kwok"):
        (folder / name).symlink_to(cached() / name)
    return folder
