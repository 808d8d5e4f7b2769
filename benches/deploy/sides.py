"""The compared ways to apply objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .manifests import Manifest
from .measure import Command
from .tools import ROOT

OUR_VENV, COMMUNITY_VENV = ROOT / ".venv", ROOT / ".cache" / "bench-venv"
# A loop over 1,000 objects would take 20 minutes a run.
LOOP_OBJECTS = 100
CALL_SSA_OBJECTS = 100
MANAGER = "memory-graph-bench"
CHANGED = re.compile(r"\bchanged=(\d+)")
Task = dict[str, Any]


@dataclass(frozen=True)
class Workspace:
    """The folder and the namespace that a side works in, and the kubeconfig of the cluster."""

    folder: Path
    namespace: str
    kubeconfig: Path


@dataclass(frozen=True)
class Side:
    """One way to apply objects.

    ``command`` writes the input files into the folder of the workspace and returns the command to run there. ``venv``
    is the virtual environment whose empty play is subtracted, None where no Ansible runs. ``max_objects`` is the
    largest release that it is measured with.
    """

    title: str
    command: Callable[[list[Manifest], Workspace], Command]
    venv: Path | None = None
    max_objects: int = 1_000_000


def changed(output: str) -> int | None:
    """Return how many tasks the recap of a playbook counts as changed; None where there is no recap."""
    counts = [int(count) for count in CHANGED.findall(output)]
    return sum(counts) if counts else None


def empty_play(venv: Path, workspace: Workspace) -> Command:
    """Return a play without tasks and without the objects: reading them is part of the measured work."""
    return _play(venv, [], None, workspace)


def release(objects: list[Manifest], workspace: Workspace) -> Command:
    settings = {"name": "bench", "namespace": workspace.namespace, "objects": "{{ objects }}", "wait": False}
    return _play(OUR_VENV, [{"name": "Release", "llm_devops.memory_graph.release": settings}], objects, workspace)


def loop(objects: list[Manifest], workspace: Workspace) -> Command:
    task: Task = {
        "name": "Apply one by one",
        "kubernetes.core.k8s": {"definition": "{{ item }}", "namespace": workspace.namespace, "apply": True},
        "loop": "{{ objects }}",
        "loop_control": {"label": "{{ item.metadata.name }}"},
    }
    return _play(COMMUNITY_VENV, [task], objects, workspace)


def call(objects: list[Manifest], workspace: Workspace) -> Command:
    settings = {"definition": "{{ objects }}", "namespace": workspace.namespace, "apply": True}
    return _play(COMMUNITY_VENV, [{"name": "Apply", "kubernetes.core.k8s": settings}], objects, workspace)


def call_ssa(objects: list[Manifest], workspace: Workspace) -> Command:
    settings = {
        "definition": "{{ objects }}",
        "namespace": workspace.namespace,
        "apply": True,
        "server_side_apply": {"field_manager": MANAGER},
    }
    return _play(COMMUNITY_VENV, [{"name": "Apply", "kubernetes.core.k8s": settings}], objects, workspace)


def kubectl_apply(kubectl: Path) -> Callable[[list[Manifest], Workspace], Command]:
    def command(objects: list[Manifest], workspace: Workspace) -> Command:
        manifests = workspace.folder / "objects.yaml"
        manifests.write_text(_documents(objects))
        argv = [str(kubectl), "--kubeconfig", str(workspace.kubeconfig), "--namespace", workspace.namespace]
        argv += ["apply", "--server-side", f"--field-manager={MANAGER}", f"--filename={manifests}"]
        return Command(argv, {})

    return command


def helm_upgrade(helm: Path) -> Callable[[list[Manifest], Workspace], Command]:
    def command(objects: list[Manifest], workspace: Workspace) -> Command:
        chart = workspace.folder / "chart"
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "bench", "version": "0.1.0"}))
        literal = _documents(objects).replace("{{", '{{ "{{" }}')
        (chart / "templates" / "objects.yaml").write_text(literal)
        argv = [str(helm), "--kubeconfig", str(workspace.kubeconfig), "--namespace", workspace.namespace]
        argv += ["upgrade", "--install", "bench", str(chart)]
        homes = {f"HELM_{name}_HOME": str(workspace.folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        return Command(argv, homes)

    return command


def all_sides(kubectl: Path, helm: Path) -> dict[str, Side]:
    """Return every side by its name in the figures; ours is the first."""
    return {
        "release": Side("release", release, OUR_VENV),
        "loop": Side("k8s loop", loop, COMMUNITY_VENV, LOOP_OBJECTS),
        "call": Side("k8s, one call", call, COMMUNITY_VENV),
        "call_ssa": Side("one call, SSA", call_ssa, COMMUNITY_VENV, CALL_SSA_OBJECTS),
        "kubectl": Side("kubectl apply", kubectl_apply(kubectl)),
        "helm": Side("helm upgrade", helm_upgrade(helm)),
    }


def _documents(objects: list[Manifest]) -> str:
    """Return a YAML stream. JSON is YAML, and is written faster."""
    return "".join(f"---\n{json.dumps(document)}\n" for document in objects)


def _play(venv: Path, tasks: list[Task], objects: list[Manifest] | None, workspace: Workspace) -> Command:
    playbook = workspace.folder / ("play.yml" if tasks else "empty.yml")
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    playbook.write_text(yaml.safe_dump([play]))
    argv = [str(venv / "bin" / "ansible-playbook"), "--inventory", "localhost,", str(playbook)]
    if objects is not None:
        variables = workspace.folder / "objects.json"
        variables.write_text(json.dumps({"objects": objects}))
        argv += ["--extra-vars", f"@{variables}"]
    environment = {
        "K8S_AUTH_KUBECONFIG": str(workspace.kubeconfig),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_PYTHON_INTERPRETER": str(venv / "bin" / "python"),
        # Its recap says how many tasks changed anything.
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    }
    return Command(argv, environment, in_module=True)
