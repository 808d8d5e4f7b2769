# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The phase of a pod in the words of a progress line. Pure; reads a Pod and the events about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._json import at, integer, mapping, mappings, strings, text
from ..kinds._problem import one_line
from ._diagnose import container_statuses, exit_of
from ._watch_cache import count

Object = dict[str, Any]
ORDER = ("scheduling", "preparing", "pulling", "initialising", "starting", "not ready")
_PREPARATION = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedMapVolume")
MIN_FAILURES = 2  # one failed probe is how a start looks
MAX_COMMAND = 80  # characters


def phase(pod: Object, events: Iterable[Object] = ()) -> tuple[str, str]:
    """Return a word that stays while the state does, such as ``pulling``, and a detail, often empty."""
    all_events = list(events)
    conditions = {text(condition, "type"): condition for condition in mappings(pod, "status", "conditions")}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        word = "scheduling gated" if scheduled.get("reason") == "SchedulingGated" else "scheduling"
        return word, one_line(text(scheduled, "message")).split(" preemption:", maxsplit=1)[0]
    for item in container_statuses(pod):
        reason = text(item, "state", "waiting", "reason")
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            return reason, _last_end(item)
    if at(conditions.get("PodReadyToStartContainers"), "status") == "False":
        return "preparing", _latest(all_events, _PREPARATION)
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
    return _running(pod, containers, all_events)


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
    """Return the kubelet's message about a probe that failed more than once; of a silent one, the command it runs."""
    failures = [event for event in events if event.get("reason") == "Unhealthy"]
    of_probe = [event for event in failures if text(event, "message").startswith(f"{kind} probe")]
    if sum(map(count, of_probe)) < MIN_FAILURES:
        return ""
    message = one_line(text(of_probe[-1], "message"))
    if message != f"{kind} probe failed:":
        return message[:200]
    command = " ".join(_command(pod, container, f"{kind.lower()}Probe"))
    command_text = command if len(command) <= MAX_COMMAND else f"{command[: MAX_COMMAND - 1]}…"
    return f"{kind} probe failed without output" + (f": {command_text}" if command_text else "")


def _command(pod: Object, container: str, probe_key: str) -> list[str]:
    """Return the command of a container's probe; empty for a probe over the network."""
    for key in ("containers", "initContainers"):
        for item in mappings(pod, "spec", key):
            if text(item, "name") == container:
                return strings(item, probe_key, "exec", "command")
    return []


def _last_end(item: Object) -> str:
    last = mapping(item, "lastState", "terminated")
    return exit_of(last) if last else ""


def _latest(events: list[Object], reasons: tuple[str, ...]) -> str:
    latest = [event for event in events if event.get("reason") in reasons]
    return f"{text(latest[-1], 'reason')}: {one_line(text(latest[-1], 'message'))[:200]}" if latest else ""


def rank(word: str) -> int:
    """Return how far a pod is; the unusual phases come first."""
    return next((index for index, phase_word in enumerate(ORDER) if word.startswith(phase_word)), -1)
