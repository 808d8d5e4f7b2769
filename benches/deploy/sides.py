"""The ways to make objects so that are compared."""

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

OURS, THEIRS = ROOT / ".venv", ROOT / ".cache" / "bench-venv"
# A loop over 1,000 objects would take 20 minutes a run.
LOOP_OBJECTS = 100
CALL_SSA_OBJECTS = 100
MANAGER = "memory-graph-bench"
CHANGED = re.compile(r"\bchanged=(\d+)")
Task = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a side works: its files, its namespace, and the kubeconfig of the cluster."""

    folder: Path
    namespace: str
    kubeconfig: Path


@dataclass(frozen=True)
class Side:
    """One way to make objects so.

    ``command`` writes what the way needs under the place's folder and says what to run there. ``venv`` is the virtual
    environment whose empty play is taken off, None when no Ansible is in it. ``most`` is the largest release it is
    measured with.
    """

    title: str
    command: Callable[[list[Manifest], Place], Command]
    venv: Path | None = None
    most: int = 1_000_000


def changed(output: str) -> int | None:
    """How many tasks a playbook's recap counts as changed; None where there is no recap."""
    counts = [int(count) for count in CHANGED.findall(output)]
    return sum(counts) if counts else None


def empty_play(venv: Path, place: Place) -> Command:
    """A play without tasks, and without the objects: reading them is part of the work."""
    return _play(venv, [], None, place)


def release(objects: list[Manifest], place: Place) -> Command:
    settings = {"name": "bench", "namespace": place.namespace, "objects": "{{ objects }}", "wait": False}
    return _play(OURS, [{"name": "Release", "llm_devops.memory_graph.release": settings}], objects, place)


def loop(objects: list[Manifest], place: Place) -> Command:
    task: Task = {
        "name": "Apply one by one",
        "kubernetes.core.k8s": {"definition": "{{ item }}", "namespace": place.namespace, "apply": True},
        "loop": "{{ objects }}",
        "loop_control": {"label": "{{ item.metadata.name }}"},
    }
    return _play(THEIRS, [task], objects, place)


def call(objects: list[Manifest], place: Place) -> Command:
    settings = {"definition": "{{ objects }}", "namespace": place.namespace, "apply": True}
    return _play(THEIRS, [{"name": "Apply", "kubernetes.core.k8s": settings}], objects, place)


def call_ssa(objects: list[Manifest], place: Place) -> Command:
    settings = {
        "definition": "{{ objects }}",
        "namespace": place.namespace,
        "apply": True,
        "server_side_apply": {"field_manager": MANAGER},
    }
    return _play(THEIRS, [{"name": "Apply", "kubernetes.core.k8s": settings}], objects, place)


def kubectl_apply(kubectl: Path) -> Callable[[list[Manifest], Place], Command]:
    def command(objects: list[Manifest], place: Place) -> Command:
        manifests = place.folder / "objects.yaml"
        manifests.write_text(_documents(objects))
        argv = [str(kubectl), "--kubeconfig", str(place.kubeconfig), "--namespace", place.namespace]
        argv += ["apply", "--server-side", f"--field-manager={MANAGER}", f"--filename={manifests}"]
        return Command(argv, {})

    return command


def helm_upgrade(helm: Path) -> Callable[[list[Manifest], Place], Command]:
    def command(objects: list[Manifest], place: Place) -> Command:
        chart = place.folder / "chart"
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "bench", "version": "0.1.0"}))
        literal = _documents(objects).replace("{{", '{{ "{{" }}')
        (chart / "templates" / "objects.yaml").write_text(literal)
        argv = [str(helm), "--kubeconfig", str(place.kubeconfig), "--namespace", place.namespace]
        argv += ["upgrade", "--install", "bench", str(chart)]
        homes = {f"HELM_{name}_HOME": str(place.folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        return Command(argv, homes)

    return command


def all_sides(kubectl: Path, helm: Path) -> dict[str, Side]:
    """Every side by its name in the figures; ours is the first."""
    return {
        "release": Side("release", release, OURS),
        "loop": Side("k8s loop", loop, THEIRS, LOOP_OBJECTS),
        "call": Side("k8s, one call", call, THEIRS),
        "call_ssa": Side("one call, SSA", call_ssa, THEIRS, CALL_SSA_OBJECTS),
        "kubectl": Side("kubectl apply", kubectl_apply(kubectl)),
        "helm": Side("helm upgrade", helm_upgrade(helm)),
    }


def _documents(objects: list[Manifest]) -> str:
    """A YAML stream; JSON is YAML, and is written faster."""
    return "".join(f"---\n{json.dumps(document)}\n" for document in objects)


def _play(venv: Path, tasks: list[Task], objects: list[Manifest] | None, place: Place) -> Command:
    playbook = place.folder / ("play.yml" if tasks else "empty.yml")
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    playbook.write_text(yaml.safe_dump([play]))
    argv = [str(venv / "bin" / "ansible-playbook"), "--inventory", "localhost,", str(playbook)]
    if objects is not None:
        variables = place.folder / "objects.json"
        variables.write_text(json.dumps({"objects": objects}))
        argv += ["--extra-vars", f"@{variables}"]
    environment = {
        "K8S_AUTH_KUBECONFIG": str(place.kubeconfig),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_PYTHON_INTERPRETER": str(venv / "bin" / "python"),
        # Its recap says how many tasks changed anything.
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    }
    return Command(argv, environment, in_module=True)
