"""The whole memory graph, deployed by its playbook and waited for: into a fresh namespace, and again without change."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from .cluster import KubectlCluster
from .manifests import NAMESPACE
from .measure import Command, time_command
from .sides import OUR_VENV, Workspace, changed, empty_play
from .tools import ROOT, Say


def whole_deployment(cluster: KubectlCluster, rounds: int, say: Say) -> dict[str, Any]:
    """Measure `playbooks/deploy.yml`, first and again.

    Returns the seconds of the first run and (median) of the runs again, the highest number of tasks that a run again
    changed, and the seconds of CPU (medians) of the runs again and of an empty play, the least that Ansible takes.
    `playbooks/local.yml` runs before, not timed: it makes the cluster and the image where there is none.
    """
    settings = {
        "memory_graph_kubeconfig": str(cluster.kubeconfig),
        "memory_graph_namespace": NAMESPACE,
        "memory_graph_service_type": "ClusterIP",
        "memory_graph_service_node_port": 0,
        "memory_graph_endpoint": "",
    }
    say("the whole deployment: cluster, image and a first deployment, not timed")
    time_command(_playbook("local.yml", settings))
    try:
        image = cluster.run("get", "statefulset", "memory-graph", "-n", NAMESPACE, "-o", f"jsonpath={IMAGE}")
        deploy = _playbook("deploy.yml", {**settings, "memory_graph_image": image})
        cluster.delete([NAMESPACE])
        say(f"the whole deployment: first, and {rounds} times again")
        first = time_command(deploy)
        with tempfile.TemporaryDirectory() as folder:
            play = empty_play(OUR_VENV, Workspace(Path(folder), "", cluster.kubeconfig))
            again, empty = zip(*((time_command(deploy), time_command(play)) for _ in range(rounds)), strict=True)
    finally:
        cluster.delete([NAMESPACE])
    counts = [changed(run.output) for run in again]
    if None in counts:
        raise RuntimeError("playbooks/deploy.yml ended without a recap, so nobody knows what it changed")
    return {
        "first": round(first.seconds, 3),
        "again": round(median(run.seconds for run in again), 3),
        "again_cpu": round(median(run.cpu_seconds for run in again), 3),
        "empty_cpu": round(median(run.cpu_seconds for run in empty), 3),
        "changed_again": max(count for count in counts if count is not None),
    }


IMAGE = "{.spec.template.spec.containers[0].image}"


def _playbook(name: str, settings: Mapping[str, Any]) -> Command:
    program = Path(".venv") / "bin" / "ansible-playbook"
    argv = [str(ROOT / program), f"playbooks/{name}", "--inventory", "inventories/local"]
    environment = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
    return Command([*argv, "--extra-vars", json.dumps(settings)], environment, in_module=True)
