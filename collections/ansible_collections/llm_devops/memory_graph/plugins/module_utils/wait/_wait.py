# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Wait until everything is ready, by watches, and stop at once on what cannot heal."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from .._errors import ClusterError
from .._json import text
from ..cluster._cluster import Cluster
from ..cluster._discovery import Discovery
from ..kinds._kinds import is_workload, judge
from ..kinds._problem import HEALING_GRACE_S, WaitProblem
from ..kinds._verdict import UNSEEN
from ..kinds._workloads import desired_replicas
from ..objects._manifest import Object, Ref
from ..objects._resource_requests import autoscaled
from ..release._step import Step
from . import _diagnose
from ._assessment import Assessment, assess, without_volume
from ._explanation import event_line, log_of, too_late
from ._lookups import Lookups
from ._pods import unproven
from ._sightings import PendingSightings, read_last
from ._status import Status
from ._watch import CollectionWatch, ConnectionLost, WatchOpened, WatchRefused
from ._watch_cache import WatchCache
from ._watched import Collection, collection, collections

Say = Callable[[str, str], None]
BURST_S = 0.1  # events come in bursts; judging once a burst keeps a thousand objects cheap
FAILURE_BATCH_S = 1.0  # after the first failure, so that what fails for the same reason is reported with it
CRASH_LOOP_GRACE_S = (
    60.0  # how long a crash loop may last while other workloads of the release, its database say, start
)
STUCK_POD_GRACE_S = 2.0
MIN_READY_S = 3.0  # new pods without a readiness probe; a program that cannot start ends before
CONTROLLER_GRACE_S = 2.0  # a controller takes a moment, which is not worth a line
MAX_EVENTS = 5


class _Waiter:
    """Watches the objects of a release until all are ready, one cannot become ready, or the time is out."""

    def __init__(self, cluster: Cluster, steps: list[Step], say: Say) -> None:
        self.cluster, self.say = cluster, say
        self.start = time.monotonic()
        self.steps = {step.ref: step for step in steps}
        self.cache = WatchCache({step.ref: (step.after or step.live or step.manifest) for step in steps})
        self.status = {step.ref: Status(step.ref, "progressing", "") for step in steps}
        self.assessments: dict[Ref, Assessment] = {}
        self.problem_since: dict[Ref, dict[str, float]] = {}
        self.stuck: dict[str, float] = {}
        self.ready_since: dict[Ref, float] = {}
        self.sink: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.watches: dict[CollectionWatch, Collection] = {}
        self.pending_sightings, self.watched = PendingSightings(), set[Ref]()
        self.unreadable: set[str] = set()
        self.received = self.disconnected = False
        self.lookups = Lookups(cluster, time.monotonic)
        self.min_replicas = autoscaled(step.manifest for step in steps)

    def run(self, timeout: float) -> list[Status]:
        self._judge_all()
        try:
            if self._pending():
                self._watch()
            end, failed = self.start + timeout, False
            while self._pending() and time.monotonic() < end:
                if not failed and any(status.state == "failed" for status in self.status.values()):
                    end, failed = min(end, time.monotonic() + FAILURE_BATCH_S), True
                self._receive(min(1.0, end - time.monotonic()))
                self._read_unseen()
                self._judge_all()
        finally:
            for watch in self.watches:
                watch.close()
        for status in self.status.values():
            if status.state != "ready":
                self._add_explanation(status)
        return list(self.status.values())

    def _pending(self) -> list[Ref]:
        return [ref for ref, status in self.status.items() if status.state == "progressing"]

    def _watch(self) -> None:
        waiting = self._pending()
        self.watched = set(waiting)
        live = {ref: self.cache.live[ref] for ref in waiting}
        resources = {ref: resource for ref in waiting if (resource := self.steps[ref].resource)}
        for path, query, shows in collections(live, resources):
            self.watches[CollectionWatch(self.cluster, path, query, self.sink)] = shows
        for watch in self.watches:
            watch.start()

    def _receive(self, seconds: float) -> None:
        """Handle all messages of a burst, and wait at most ``seconds`` for its first."""
        until = time.monotonic() + max(seconds, 0.01)
        received = False
        while (remaining := until - time.monotonic()) > 0:
            try:
                self._handle(self.sink.get(timeout=remaining))
            except queue.Empty:
                break
            if not received:
                received, until = True, min(until, time.monotonic() + BURST_S)
        self.received = True

    def _handle(self, message: Any) -> None:
        if isinstance(message, WatchOpened):
            self.disconnected = False
            self.cache.opened(message.watch)
            shows = self.watches.get(message.watch)
            self.pending_sightings.opened(
                message.watch, (ref for ref in self.watched if collection(ref) == shows), time.monotonic()
            )
        elif isinstance(message, WatchRefused):
            self._refused(message)
        elif isinstance(message, ConnectionLost):
            if not self.disconnected:
                self.say("wait", f"{message.error.message}; waiting for it to come back")
            self.disconnected = True
        else:
            identity = self.cache.update(*message)
            if identity:
                self.pending_sightings.show(message[0], identity)

    def _read_unseen(self) -> None:
        """Read the objects that a watch does not show: deleted before it was opened, or while it was broken."""
        for ref in self.pending_sightings.due(time.monotonic()) if self.sink.empty() else ():
            try:
                exists, obj = read_last(self.cluster, self.steps[ref].path, self.cache.live[ref])
            except ClusterError:  # not readable, or the API server is away: then the watch is all there is
                continue
            self.cache.update(None, {"type": "MODIFIED" if exists else "DELETED", "object": obj})

    def _refused(self, message: WatchRefused) -> None:
        """Fail the objects that may not be watched. Where these are pods or events, only the reasons are missing."""
        awaited = [ref for ref in self._pending() if collection(ref) == self.watches[message.watch]]
        for ref in awaited:
            status = self.status[ref]
            status.state, status.reason, status.way_out = "failed", message.error.message, message.error.way_out or ""
        if not awaited:
            self.unreadable.add(message.error.message)

    def _judge_all(self) -> None:
        judged = [*self._pending(), *(ref for ref in self.cache.deleted if self.status[ref].state == "ready")]
        for ref in judged:
            assessment = assess(obj := self.cache.live[ref], self.cache)
            if assessment.pending_claim and not assessment.problems and self.lookups.has_no_volume(obj):
                assessment = without_volume(assessment, obj)
            self.assessments[ref] = assessment
        for ref in judged:
            self._judge(self.status[ref], self.cache.live[ref])

    def _judge(self, status: Status, obj: Object) -> None:
        assessment = self.assessments[status.ref]
        state = assessment.verdict.state
        if assessment.pending_claim and self.lookups.waits_for_first_consumer(obj, self.cache.live.values()):
            status.state, status.reason = "ready", "waits for its first consumer"
            return self._report(status, status.reason)
        if self._settling(status.ref, obj, state):
            status.reason = f"{assessment.text}, but not for {MIN_READY_S:g} s yet"
            return None
        min_replicas = self.min_replicas.get((status.ref.namespace, status.ref.kind, status.ref.name), 0)
        if state == "ready" and 0 < desired_replicas(obj) < min_replicas:  # the autoscaler has not looked at it yet
            status.state, status.reason = "progressing", f"{assessment.text}, its autoscaler wants {min_replicas}"
            return self._report(status, status.reason)
        for pod in assessment.stuck:
            self._replace(status, pod)
        ending = self._ending_problem(status.ref, assessment)
        if ending:
            self._fail(status, assessment, *ending)
        else:  # a failure that has not lasted long enough is no failure yet
            status.state, status.reason = ("ready" if state == "ready" else "progressing"), assessment.sentence
            self._report(status, assessment.text or status.state, assessment.detail)
        return None

    def _settling(self, ref: Ref, obj: Object, state: str) -> bool:
        if state != "ready" or not unproven(obj, self.steps[ref].live) or self.steps[ref].action == "unchanged":
            self.ready_since.pop(ref, None)
            return False
        now = time.monotonic()
        return now - self.ready_since.setdefault(ref, now) < MIN_READY_S

    def _report(self, status: Status, text: str, detail: str = "") -> None:
        """Report each change of state in one line, and its detail with it, once, also when that comes later."""
        is_early = time.monotonic() - self.start < CONTROLLER_GRACE_S
        detail = "" if UNSEEN in detail and is_early else detail
        if status.state == "progressing" and ((UNSEEN in text and is_early) or not self.received):
            return
        line = status.record(text, detail)
        if line:
            status.seconds = time.monotonic() - self.start
            took = "" if status.state == "progressing" else f"  {status.seconds:.1f} s"
            self.say("wait", f"{status.ref}  {line}{took}")

    def _ending_problem(self, ref: Ref, assessment: Assessment) -> tuple[WaitProblem, Object | None] | None:
        """Return the first problem that has lasted as long as its grace."""
        now, before = time.monotonic(), self.problem_since.get(ref, {})
        named = [(text(pod, "metadata", "name"), problem, pod) for problem, pod in assessment.problems]
        self.problem_since[ref] = {name: before.get(name, now) for name, _problem, _pod in named}
        for name, problem, pod in named:
            if now - self.problem_since[ref][name] >= self._grace(ref, problem) and not self._node_requested(
                problem, pod
            ):
                return problem, pod
        return None

    def _grace(self, ref: Ref, problem: WaitProblem) -> float:
        others = [
            self.assessments[other] for other in self._pending() if other != ref and is_workload(self.cache.live[other])
        ]
        if problem.final:
            return 0.0
        if problem.crashed and any(not other.problems for other in others):
            return CRASH_LOOP_GRACE_S
        # an operator may yet bring the Secret or ConfigMap that a pod refers to
        if problem.missing and any(other.custom for other in self._pending()):
            return float("inf")
        if self.steps[ref].action == "unchanged" and ref.kind not in (
            "Job",
            "Pod",
        ):  # what was wrong may be mended by now
            return max(problem.grace_s, HEALING_GRACE_S)
        return problem.grace_s

    def _node_requested(self, problem: WaitProblem, pod: Object | None) -> bool:
        return pod is not None and problem.reason.startswith("Unschedulable") and self.lookups.node_requested(pod)

    def _fail(self, status: Status, assessment: Assessment, problem: WaitProblem, pod: Object | None) -> None:
        count = assessment.text.split(" ")[0] if assessment.text[:1].isdigit() else ""
        is_own = pod is None or status.ref.kind in ("Pod", "Job") or assessment.verdict.state == "failed"
        status.state = "failed"
        status.reason = (
            problem.reason if is_own or pod is None else f"Pod {text(pod, 'metadata', 'name')}: {problem.reason}"
        )
        status.why, status.way_out = problem.why, problem.way_out
        if pod is not None and problem.container and (problem.crashed or assessment.verdict.state == "failed"):
            status.log = log_of(self.cluster, pod, problem.container, previous=problem.crashed)
        self._report(status, f"{count} {problem.reason.split(':')[0]}".strip())

    def _replace(self, status: Status, pod: Object) -> None:
        """Delete a broken pod of an older revision: a StatefulSet waits until it is ready, which it never will be
        (kubernetes/kubernetes issue 67250, "forced rollback")."""
        name, namespace, uid = (text(pod, "metadata", key) for key in ("name", "namespace", "uid"))
        if time.monotonic() - self.stuck.setdefault(uid, time.monotonic()) < STUCK_POD_GRACE_S:
            return
        self.cluster.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", uid)
        self.cache.remove_pod(pod)
        status.trail.append(f"replaced broken {name}")
        self.say("wait", f"{status.ref}  replaced broken pod {name} of an older revision")

    def _add_explanation(self, status: Status) -> None:
        obj, assessment = self.cache.live[status.ref], self.assessments[status.ref]
        events = self.cache.related_events(obj) if is_workload(obj) else self.cache.events(obj)
        status.events = [event_line(event) for event in events[-MAX_EVENTS:]]
        status.events += [f"(not readable: {message})" for message in sorted(self.unreadable)]
        status.serving = assessment.serving
        if status.state != "progressing":
            return
        status.why, status.way_out = too_late(status.ref, status.reason)
        for pod in self.cache.pods(obj)[0] if is_workload(obj) and not status.log else []:
            container = _diagnose.unready(pod)
            if container and judge(pod).state != "ready":
                status.log = log_of(self.cluster, pod, container, previous=False)


def await_all(cluster: Cluster, _discovery: Discovery, steps: list[Step], timeout: float, say: Say) -> list[Status]:
    """Wait for all steps together, at most ``timeout`` seconds.

    Return as soon as one failed for good: the rest is reported in its state of that moment.
    """
    return _Waiter(cluster, [step for step in steps if step.resource], say).run(timeout)
