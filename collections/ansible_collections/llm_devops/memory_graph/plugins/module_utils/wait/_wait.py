# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Wait until everything is ready, by watches, and stop at once on what cannot heal."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._errors import ClusterError
from .._json import text
from ..cluster._cluster import Cluster
from ..cluster._discovery import Discovery
from ..objects._manifest import Object, Ref
from ..objects._resource_requests import autoscaled
from ..release._step import Step
from . import _diagnose
from ._assessment import Finding, find, without_volume
from ._diagnose import Trouble
from ._explanation import event_line, log_of, too_late
from ._lookups import Lookups
from ._pods import is_workload, unproven
from ._predicates import UNSEEN, judge, wanted_replicas
from ._vanished import Unshown, last_seen
from ._watch import Lost, Opened, Refused, Watch
from ._watch_cache import Evidence
from ._watched import Collection, collection, watched

Say = Callable[[str, str], None]
GATHER_SECONDS = 0.1  # events come in bursts; judging once a burst keeps a thousand objects cheap
TOGETHER_SECONDS = 1.0  # a moment more after the first failure, so that what fails for the same reason is told with it
COMPANY_SECONDS = 60.0  # how long a crash loop is borne while other workloads of the release, its database say, start
REPLACE_SECONDS = 2.0
SETTLE_SECONDS = 3.0  # how long new pods without a readiness probe must run; a program that cannot start ends before
UNSEEN_SECONDS = 2.0  # a controller takes a moment, which is not worth a line
EVENTS = 5


@dataclass
class Status:
    """How one object stands. ``trail`` is what it went through while we watched; ``seconds`` how long that took.

    ``serving`` says, of a workload that is not ready, how many ready pods of before are left of those wanted: ``2/3``.
    """

    ref: Ref
    state: str
    reason: str
    why: str = ""
    way_out: str = ""
    trail: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    seconds: float = 0.0
    serving: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.ref.kind, "namespace": self.ref.namespace, "name": self.ref.name, "state": self.state,
                "reason": self.reason, "why": self.why, "way_out": self.way_out}  # fmt: skip


class _Waiter:
    def __init__(self, cluster: Cluster, steps: list[Step], say: Say) -> None:
        self.cluster, self.say = cluster, say
        self.start = time.monotonic()
        self.steps = {step.ref: step for step in steps}
        self.evidence = Evidence({step.ref: (step.after or step.live or step.manifest) for step in steps})
        self.status = {step.ref: Status(step.ref, "progressing", "") for step in steps}
        self.findings: dict[Ref, Finding] = {}
        self.since: dict[Ref, dict[str, float]] = {}
        self.stuck: dict[str, float] = {}
        self.ready_since: dict[Ref, float] = {}
        self.sink: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.watches: dict[Watch, Collection] = {}
        self.unshown, self.watched = Unshown(), set[Ref]()
        self.unreadable: set[str] = set()
        self.heard = self.lost = False
        self.lookups = Lookups(cluster, time.monotonic)
        self.least = autoscaled(step.manifest for step in steps)

    def run(self, timeout: float) -> list[Status]:
        self._judge_all()
        try:
            if self._open():
                self._watch()
            end, failed = self.start + timeout, False
            while self._open() and time.monotonic() < end:
                if not failed and any(status.state == "failed" for status in self.status.values()):
                    end, failed = min(end, time.monotonic() + TOGETHER_SECONDS), True
                self._take(min(1.0, end - time.monotonic()))
                self._look_for_unshown()
                self._judge_all()
        finally:
            for watch in self.watches:
                watch.close()
        for status in self.status.values():
            if status.state != "ready":
                self._explain(status)
        return list(self.status.values())

    def _open(self) -> list[Ref]:
        return [ref for ref, status in self.status.items() if status.state == "progressing"]

    def _watch(self) -> None:
        waiting = self._open()
        self.watched = set(waiting)
        live = {ref: self.evidence.live[ref] for ref in waiting}
        resources = {ref: resource for ref in waiting if (resource := self.steps[ref].resource)}
        for path, query, shows in watched(live, resources):
            self.watches[Watch(self.cluster, path, query, self.sink)] = shows
        for watch in self.watches:
            watch.start()

    def _take(self, seconds: float) -> None:
        """Everything that was told within a moment of the first thing told, waiting at most ``seconds`` for that."""
        until = time.monotonic() + max(seconds, 0.01)
        heard = False
        while (left := until - time.monotonic()) > 0:
            try:
                self._note(self.sink.get(timeout=left))
            except queue.Empty:
                break
            if not heard:
                heard, until = True, min(until, time.monotonic() + GATHER_SECONDS)
        self.heard = True

    def _note(self, told: Any) -> None:
        if isinstance(told, Opened):
            self.lost = False
            self.evidence.opened(told.watch)
            shows = self.watches.get(told.watch)
            self.unshown.opened(told.watch, (ref for ref in self.watched if collection(ref) == shows), time.monotonic())
        elif isinstance(told, Refused):
            self._refused(told)
        elif isinstance(told, Lost):
            if not self.lost:
                self.say("wait", f"{told.error.message}; waiting for it to come back")
            self.lost = True
        else:
            shown = self.evidence.note(*told)
            if shown:
                self.unshown.shown(told[0], shown)

    def _look_for_unshown(self) -> None:
        """Objects that a watch does not show were deleted before it was opened, or while it was broken."""
        for ref in self.unshown.due(time.monotonic()) if self.sink.empty() else ():
            try:
                exists, obj = last_seen(self.cluster, self.steps[ref].path, self.evidence.live[ref])
            except ClusterError:  # not readable, or the API server is away: then the watch is all there is
                continue
            self.evidence.note(None, {"type": "MODIFIED" if exists else "DELETED", "object": obj})

    def _refused(self, told: Refused) -> None:
        """What may not be watched cannot be awaited; without pods and events only the reasons are missing."""
        awaited = [ref for ref in self._open() if collection(ref) == self.watches[told.watch]]
        for ref in awaited:
            status = self.status[ref]
            status.state, status.reason, status.way_out = "failed", told.error.message, told.error.way_out or ""
        if not awaited:
            self.unreadable.add(told.error.message)

    def _judge_all(self) -> None:
        judged = [*self._open(), *(ref for ref in self.evidence.deleted if self.status[ref].state == "ready")]
        for ref in judged:
            found = find(obj := self.evidence.live[ref], self.evidence)
            if found.pending_claim and not found.troubles and self.lookups.has_no_volume(obj):
                found = without_volume(found, obj)
            self.findings[ref] = found
        for ref in judged:
            self._judge(self.status[ref], self.evidence.live[ref])

    def _judge(self, status: Status, obj: Object) -> None:
        found = self.findings[status.ref]
        state = found.verdict.state
        if found.pending_claim and self.lookups.waits_for_first_consumer(obj, self.evidence.live.values()):
            status.state, status.reason = "ready", "waits for its first consumer"
            return self._tell(status, status.reason)
        if self._settling(status.ref, obj, state):
            status.reason = f"{found.text}, but not for {SETTLE_SECONDS:g} s yet"
            return None
        least = self.least.get((status.ref.namespace, status.ref.kind, status.ref.name), 0)
        if state == "ready" and 0 < wanted_replicas(obj) < least:  # the autoscaler has not looked at it yet
            status.state, status.reason = "progressing", f"{found.text}, its autoscaler wants {least}"
            return self._tell(status, status.reason)
        for pod in found.stuck:
            self._replace(status, pod)
        ends = self._lasting(status.ref, found)
        if ends:
            self._fail(status, found, *ends)
        else:  # a failure that has not lasted long enough is no failure yet
            status.state, status.reason = ("ready" if state == "ready" else "progressing"), found.sentence
            self._tell(status, found.text or status.state, found.detail)
        return None

    def _settling(self, ref: Ref, obj: Object, state: str) -> bool:
        if state != "ready" or not unproven(obj, self.steps[ref].live) or self.steps[ref].action == "unchanged":
            self.ready_since.pop(ref, None)
            return False
        now = time.monotonic()
        return now - self.ready_since.setdefault(ref, now) < SETTLE_SECONDS

    def _tell(self, status: Status, text: str, detail: str = "") -> None:
        """One line a change of state; a detail is told with it, once, also when it comes later."""
        last = status.trail[-1] if status.trail else ""
        same = last == text or last.startswith(f"{text}: ")
        if not same and last.endswith(f": {detail}"):
            detail = ""
        young = time.monotonic() - self.start < UNSEEN_SECONDS
        early = UNSEEN in text and young
        detail = "" if UNSEEN in detail and young else detail
        if status.state == "progressing" and (early or not self.heard):
            return
        more = detail and last in (text, f"{text}: {UNSEEN}") and not last.endswith(detail)
        if (same and not more) or (not status.trail and status.state == "ready"):
            return
        line = f"{text}: {detail}" if detail else text
        if same:
            status.trail[-1] = line
        else:
            status.trail.append(line)
        status.seconds = time.monotonic() - self.start
        took = "" if status.state == "progressing" else f"  {status.seconds:.1f} s"
        self.say("wait", f"{status.ref}  {line}{took}")

    def _lasting(self, ref: Ref, found: Finding) -> tuple[Trouble, Object | None] | None:
        """The first trouble that has lasted as long as its patience."""
        now, before = time.monotonic(), self.since.get(ref, {})
        named = [(text(pod, "metadata", "name"), trouble, pod) for trouble, pod in found.troubles]
        self.since[ref] = {name: before.get(name, now) for name, _trouble, _pod in named}
        for name, trouble, pod in named:
            if now - self.since[ref][name] >= self._patience(ref, trouble) and not self._node_comes(trouble, pod):
                return trouble, pod
        return None

    def _patience(self, ref: Ref, trouble: Trouble) -> float:
        others = [self.findings[one] for one in self._open() if one != ref and is_workload(self.evidence.live[one])]
        if trouble.final:
            return 0.0
        if trouble.crashed and any(not other.troubles for other in others):
            return COMPANY_SECONDS
        # an operator may yet bring the Secret or ConfigMap that a pod refers to
        if trouble.missing and any(one.custom for one in self._open()):
            return float("inf")
        if self.steps[ref].action == "unchanged" and ref.kind not in (
            "Job",
            "Pod",
        ):  # what was wrong may be mended by now
            return max(trouble.patience, _diagnose.PATIENCE)
        return trouble.patience

    def _node_comes(self, trouble: Trouble, pod: Object | None) -> bool:
        return pod is not None and trouble.reason.startswith("Unschedulable") and self.lookups.node_comes(pod)

    def _fail(self, status: Status, found: Finding, trouble: Trouble, pod: Object | None) -> None:
        count = found.text.split(" ")[0] if found.text[:1].isdigit() else ""
        own = pod is None or status.ref.kind in ("Pod", "Job") or found.verdict.state == "failed"
        status.state = "failed"
        status.reason = (
            trouble.reason if own or pod is None else f"Pod {text(pod, 'metadata', 'name')}: {trouble.reason}"
        )
        status.why, status.way_out = trouble.why, trouble.way_out
        if pod is not None and trouble.container and (trouble.crashed or found.verdict.state == "failed"):
            status.log = log_of(self.cluster, pod, trouble.container, previous=trouble.crashed)
        self._tell(status, f"{count} {trouble.reason.split(':')[0]}".strip())

    def _replace(self, status: Status, pod: Object) -> None:
        """Delete a broken pod of an older revision: a StatefulSet waits for it to become ready before it replaces it,
        which it never will (kubernetes/kubernetes issue 67250, "forced rollback")."""
        name, namespace, uid = (text(pod, "metadata", key) for key in ("name", "namespace", "uid"))
        if time.monotonic() - self.stuck.setdefault(uid, time.monotonic()) < REPLACE_SECONDS:
            return
        self.cluster.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", uid)
        self.evidence.drop(pod)
        status.trail.append(f"replaced broken {name}")
        self.say("wait", f"{status.ref}  replaced broken pod {name} of an older revision")

    def _explain(self, status: Status) -> None:
        obj, found = self.evidence.live[status.ref], self.findings[status.ref]
        told = self.evidence.told(obj) if is_workload(obj) else self.evidence.events(obj)
        status.events = [event_line(event) for event in told[-EVENTS:]]
        status.events += [f"(not readable: {message})" for message in sorted(self.unreadable)]
        status.serving = found.serving
        if status.state != "progressing":
            return
        status.why, status.way_out = too_late(status.ref, status.reason)
        for pod in self.evidence.pods(obj)[0] if is_workload(obj) and not status.log else []:
            container = _diagnose.unready(pod)
            if container and judge(pod).state != "ready":
                status.log = log_of(self.cluster, pod, container, previous=False)


def await_all(cluster: Cluster, _discovery: Discovery, steps: list[Step], timeout: float, say: Say) -> list[Status]:
    """Wait for all steps together, at most ``timeout`` seconds.

    Returns as soon as one failed for good: the rest is reported as it then stood.
    """
    return _Waiter(cluster, [step for step in steps if step.resource], say).run(timeout)
