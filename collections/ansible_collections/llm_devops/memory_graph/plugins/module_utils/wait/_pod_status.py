# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What a pod is doing, in the words of a progress line. Pure; works on a Pod and the events about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._json import at, integer, mapping, mappings, strings, text
from ._diagnose import container_statuses, exit_of, one_line
from ._watch_cache import times

Object = dict[str, Any]
ORDER = ("scheduling", "preparing", "pulling", "initialising", "starting", "not ready")
_PREPARATION = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedMapVolume")
FEW_TIMES = 2  # one failed probe is how a start looks
MAX_COMMAND = 80  # characters


def phase(pod: Object, events: Iterable[Object] = ()) -> tuple[str, str]:
    """A word that stays while the state does, such as ``pulling``, and a detail, often empty."""
    told = list(events)
    conditions = {text(one, "type"): one for one in mappings(pod, "status", "conditions")}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        word = "scheduling gated" if scheduled.get("reason") == "SchedulingGated" else "scheduling"
        return word, one_line(text(scheduled, "message")).split(" preemption:", maxsplit=1)[0]
    for item in container_statuses(pod):
        reason = text(item, "state", "waiting", "reason")
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            return reason, _last_end(item)
    if at(conditions.get("PodReadyToStartContainers"), "status") == "False":
        return "preparing", _latest(told, _PREPARATION)
    for item in mappings(pod, "status", "initContainerStatuses"):
        if not item.get("ready") and not item.get("started"):
            return "initialising", f"container {text(item, 'name')}" if "running" in mapping(item, "state") else ""
    containers = mappings(pod, "status", "containerStatuses")
    if any("waiting" in mapping(item, "state") for item in containers):
        return "pulling", ""
    if not containers:
        return "preparing" if scheduled else "scheduling", ""
    ready = conditions.get("Ready") or {}
    if all(item.get("ready") for item in containers) and ready.get("reason") == "ReadinessGatesNotReady":
        return "not ready", one_line(text(ready, "message"))
    return _running(pod, containers, told)


def _running(pod: Object, containers: list[Object], events: list[Object]) -> tuple[str, str]:
    for item in containers:
        if item.get("ready"):
            continue
        restarts, name = integer(item, "restartCount"), text(item, "name")
        again = f" again ({restarts}. restart, {_last_end(item) or 'it ended'})" if restarts else ""
        if item.get("started") is False:
            return f"starting{again}", probe(pod, name, events, "Startup") or probe(pod, name, events, "Liveness")
        failed = probe(pod, name, events, "Readiness") or probe(pod, name, events, "Liveness")
        return (f"not ready{again}", failed) if failed else (f"starting{again}", "")
    return "starting", ""


def probe(pod: Object, container: str, events: Iterable[Object], kind: str) -> str:
    """What the kubelet said of a probe that failed more than once; of a silent one, the command it runs."""
    failed = [one for one in events if one.get("reason") == "Unhealthy"]
    mine = [one for one in failed if text(one, "message").startswith(f"{kind} probe")]
    if sum(map(times, mine)) < FEW_TIMES:
        return ""
    said = one_line(text(mine[-1], "message"))
    if said != f"{kind} probe failed:":
        return said[:200]
    command = " ".join(_command(pod, container, f"{kind.lower()}Probe"))
    shown = command if len(command) <= MAX_COMMAND else f"{command[: MAX_COMMAND - 1]}…"
    return f"{kind} probe failed without output" + (f": {shown}" if shown else "")


def _command(pod: Object, container: str, probe_key: str) -> list[str]:
    """The command of a container's probe; empty for a probe over the network."""
    for key in ("containers", "initContainers"):
        for item in mappings(pod, "spec", key):
            if text(item, "name") == container:
                return strings(item, probe_key, "exec", "command")
    return []


def _last_end(item: Object) -> str:
    last = mapping(item, "lastState", "terminated")
    return exit_of(last) if last else ""


def _latest(events: list[Object], reasons: tuple[str, ...]) -> str:
    found = [one for one in events if one.get("reason") in reasons]
    return f"{text(found[-1], 'reason')}: {one_line(text(found[-1], 'message'))[:200]}" if found else ""


def rank(word: str) -> int:
    """How far a pod is; what is out of the ordinary comes first."""
    return next((index for index, known in enumerate(ORDER) if word.startswith(known)), -1)
