# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What a pod is doing, in the words of a progress line. Pure; works on a Pod and the events about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._diagnose import container_statuses, exit_of, one_line
from ._evidence import times

Object = dict[str, Any]
ORDER = ("scheduling", "preparing", "pulling", "initialising", "starting", "not ready")
_PREPARATION = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedMapVolume")
FEW_TIMES = 2  # one failed probe is how a start looks


def phase(pod: Object, events: Iterable[Object] = ()) -> tuple[str, str]:
    """A word that stays while the state does, such as ``pulling``, and a detail, often empty."""
    status, told = pod.get("status") or {}, list(events)
    conditions = {one.get("type"): one for one in status.get("conditions") or []}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        word = "scheduling gated" if scheduled.get("reason") == "SchedulingGated" else "scheduling"
        return word, one_line(scheduled.get("message", "")).split(" preemption:", maxsplit=1)[0]
    for item in container_statuses(pod):
        waiting = (item.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in ("ContainerCreating", "PodInitializing"):
            return str(waiting["reason"]), _last_end(item)
    if (conditions.get("PodReadyToStartContainers") or {}).get("status") == "False":
        return "preparing", _latest(told, _PREPARATION)
    for item in status.get("initContainerStatuses") or []:
        if not item.get("ready") and not item.get("started"):
            return "initialising", f"container {item['name']}" if "running" in (item.get("state") or {}) else ""
    containers = status.get("containerStatuses") or []
    if any("waiting" in (item.get("state") or {}) for item in containers):
        return "pulling", ""
    return _running(containers, told) if containers else ("preparing" if scheduled else "scheduling", "")


def _running(containers: list[Object], events: list[Object]) -> tuple[str, str]:
    for item in containers:
        if item.get("ready"):
            continue
        restarts = int(item.get("restartCount") or 0)
        again = f" again ({restarts}. restart, {_last_end(item) or 'it ended'})" if restarts else ""
        if item.get("started") is False:
            return f"starting{again}", probe(events, "Startup") or probe(events, "Liveness")
        failed = probe(events, "Readiness") or probe(events, "Liveness")
        return (f"not ready{again}", failed) if failed else (f"starting{again}", "")
    return "starting", ""


def probe(events: Iterable[Object], kind: str) -> str:
    """What the kubelet said of a probe that failed more than once."""
    failed = [one for one in events if one.get("reason") == "Unhealthy"]
    mine = [one for one in failed if str(one.get("message", "")).startswith(f"{kind} probe")]
    return one_line(mine[-1]["message"])[:200] if sum(map(times, mine)) >= FEW_TIMES else ""


def _last_end(item: Object) -> str:
    last = (item.get("lastState") or {}).get("terminated") or {}
    return exit_of(last) if last else ""


def _latest(events: list[Object], reasons: tuple[str, ...]) -> str:
    found = [one for one in events if one.get("reason") in reasons]
    return f"{found[-1]['reason']}: {one_line(found[-1].get('message', ''))[:200]}" if found else ""


def rank(word: str) -> int:
    """How far a pod is; what is out of the ordinary comes first."""
    return next((index for index, known in enumerate(ORDER) if word.startswith(known)), -1)
