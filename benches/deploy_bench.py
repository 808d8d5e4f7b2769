"""The deployment: `make deploy` twice, and the same objects by `release` and by a loop over `kubernetes.core.k8s`.

    python benches/deploy_bench.py [--kubeconfig FILE]

The objects are the memory graph's own, rendered for a namespace of the bench; nothing waits for pods, so that both
sides do the same: make the objects so. The seconds of an empty play are given beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
NAMESPACE = "memory-graph-bench"
ROUNDS = 3
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memory-graph"

PLAY = [{"hosts": "localhost", "connection": "local", "gather_facts": False}]
RELEASE = {
    "name": "Release",
    "llm_devops.memory_graph.release": {
        "name": "bench",
        "namespace": NAMESPACE,
        "objects": "{{ objects }}",
        "wait": False,
    },
}
LOOP = {
    "name": "Apply one by one",
    "kubernetes.core.k8s": {"definition": "{{ item }}", "apply": True},
    "loop": "{{ objects }}",
    "loop_control": {"label": "{{ item.kind }}"},
}


class Ansible:
    """`ansible-playbook` of one virtual environment."""

    def __init__(self, venv: Path, kubeconfig: Path) -> None:
        self._playbook = venv / "bin" / "ansible-playbook"
        self._env = {
            **os.environ,
            "K8S_AUTH_KUBECONFIG": str(kubeconfig),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_PYTHON_INTERPRETER": str(venv / "bin" / "python"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        }

    def seconds(self, tasks: list[dict[str, Any]], variables: Path) -> float:
        """Wall time of one play with these tasks."""
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump([{**PLAY[0], "tasks": tasks}], file)
            file.flush()
            command = [str(self._playbook), "--inventory", "localhost,", "--extra-vars", f"@{variables}", file.name]
            began = time.perf_counter()
            done = subprocess.run(command, cwd=ROOT, env=self._env, capture_output=True, text=True, check=False)
            took = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"the play failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return took


def rendered(folder: Path) -> list[dict[str, Any]]:
    """The memory graph's objects for the bench's namespace."""
    settings = {
        "memory_graph_render_directory": str(folder),
        "memory_graph_namespace": NAMESPACE,
        "memory_graph_image": "memory-graph:bench",
        "memory_graph_service_node_port": 30059,
    }
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "playbooks/render.yml", "--inventory", "inventories/local"]
    subprocess.run([*command, "--extra-vars", json.dumps(settings)], cwd=ROOT, check=True, capture_output=True)
    documents = [yaml.safe_load_all(path.read_text()) for path in sorted(folder.rglob("*.yaml"))]
    objects = [document for group in documents for document in group if document]
    return sorted(objects, key=lambda document: document["kind"] != "Namespace")


def objects_by_both(kubeconfig: Path, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """First and second run of each, from an empty cluster namespace, in turn."""
    ours = Ansible(ROOT / ".venv", kubeconfig)
    theirs = Ansible(ROOT / ".cache" / "bench-venv", kubeconfig)
    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        objects = rendered(Path(folder) / "objects")
        variables = Path(folder) / "objects.json"
        variables.write_text(json.dumps({"objects": objects}))
        for turn in range(ROUNDS):
            for name, ansible, task in (("release", ours, RELEASE), ("loop", theirs, LOOP)):
                say(f"round {turn + 1} of {ROUNDS}: {name}")
                delete_namespace(kubeconfig)
                took.setdefault(f"{name} first", []).append(ansible.seconds([task], variables))
                took.setdefault(f"{name} again", []).append(ansible.seconds([task], variables))
            took.setdefault("empty play", []).append(ours.seconds([], variables))
        delete_namespace(kubeconfig)
    median = {name: statistics.median(times) for name, times in took.items()}
    return {
        f"{len(objects)} objects, seconds": median,
        "loop by release": {
            "first": median["loop first"] / median["release first"],
            "again": median["loop again"] / median["release again"],
        },
    }


def delete_namespace(kubeconfig: Path) -> None:
    command = [
        "kubectl",
        "--kubeconfig",
        str(kubeconfig),
        "delete",
        "namespace",
        NAMESPACE,
        "--ignore-not-found",
        "--wait",
    ]
    subprocess.run(command, check=True, capture_output=True)


def make_deploy() -> dict[str, dict[str, float]]:
    """`make deploy` from a fresh namespace (the cluster and the image exist), and again."""
    took = []
    subprocess.run(
        ["make", "teardown", "EXTRA=-e memory_graph_teardown_delete_data=true"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    for _ in range(2):
        began = time.perf_counter()
        subprocess.run(["make", "deploy"], cwd=ROOT, check=True, capture_output=True)
        took.append(time.perf_counter() - began)
    return {"make deploy, seconds": {"first": took[0], "again": took[1]}}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = CACHE / "memory-graph.kubeconfig"
    arguments.add_argument(
        "--kubeconfig", type=Path, default=default, help="the cluster (default: that of make deploy)"
    )
    given = arguments.parse_args()
    found = make_deploy() | objects_by_both(given.kubeconfig, lambda text: print(text, file=sys.stderr))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
