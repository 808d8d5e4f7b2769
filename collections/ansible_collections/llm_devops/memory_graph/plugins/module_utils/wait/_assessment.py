# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The assessment of an awaited object: its verdict, weighed with its pods and events, and its problems. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .._json import at, integer, mapping, mappings, text
from ..kinds._claims import binding_problem, is_claim, missing_volume
from ..kinds._kinds import judge, kind_of
from ..kinds._problem import WaitProblem
from ..kinds._verdict import Verdict, deleting, group_of, observed
from ..kinds._workloads import desired_replicas
from ..objects._manifest import Object, ref
from ..objects._namespaces import held
from . import _diagnose, _pod_status
from ._pods import claims_of, serving
from ._watch_cache import DELETED, WatchCache, last_seen


@dataclass(frozen=True)
class Assessment:
    """The state of an awaited object, as far as its status, pods and events tell.

    ``text`` names the state and changes with it alone; ``detail`` may differ from event to event.
    ``problems`` may end the wait; each comes with the pod that has it. ``stuck`` are broken pods of an earlier
    revision that a StatefulSet does not replace before they are ready. ``serving`` counts ready pods of before.
    ``pending_claim`` is a PersistentVolumeClaim that has no volume yet.
    """

    verdict: Verdict
    text: str
    detail: str = ""
    problems: list[tuple[WaitProblem, Object | None]] = field(default_factory=list)
    stuck: list[Object] = field(default_factory=list)
    serving: str = ""
    pending_claim: bool = False

    @property
    def sentence(self) -> str:
        return f"{self.text}: {self.detail}" if self.detail else self.text


def assess(obj: Object, cache: WatchCache) -> Assessment:
    """Assess one object as it was last seen."""
    verdict, kind = judge(obj), kind_of(obj)
    if ref(obj) in cache.deleted:
        return Assessment(verdict, "deleted", problems=[(_deleted(obj), None)])
    if verdict.state == "ready":
        return Assessment(verdict, verdict.reason)
    if kind.has_pods:
        return _workload(obj, verdict, cache)
    events = cache.events(obj)
    problem = kind.problem(obj, verdict, events)
    problems: list[tuple[WaitProblem, Object | None]] = [(problem, None)] if problem else []
    if verdict.state == "failed":
        return Assessment(verdict, verdict.reason, problems=problems)
    state, _colon, detail = verdict.reason.partition(": ")  # MissingEndpoints: endpoints for … have no addresses
    return Assessment(verdict, state, kind.detail(events) or detail, problems, pending_claim=is_claim(obj))


def _deleted(obj: Object) -> WaitProblem:
    """Return the problem of an object that somebody else deletes: it will not become ready any more."""
    since, finalizers = text(obj, "metadata", "deletionTimestamp"), held(obj)
    if since == DELETED:
        way_out = "find out who deletes it, and run again to make it anew"
        return WaitProblem("deleted while it was waited for", "", way_out, final=True)
    finalizing = f", waiting for finalizers: {finalizers}" if finalizers else ""
    way_out = "wait until it is gone, and run again to make it anew"
    return WaitProblem(f"being deleted since {since}{finalizing}", "", way_out, final=True)


def without_volume(assessment: Assessment, claim: Object) -> Assessment:
    """Return the assessment of a claim whose volume, asked for by name, does not exist."""
    problem = missing_volume(claim)
    return replace(assessment, detail=problem.reason, problems=[(problem, None)])


def _workload(obj: Object, verdict: Verdict, cache: WatchCache) -> Assessment:
    if group_of(obj) == "apps" and not observed(obj):  # until its controller has seen the change, pods are of before
        return Assessment(verdict, verdict.reason)
    current, former = cache.pods(obj)
    count = _count(obj, verdict, current)
    phase, detail = _slowest_pod(current, cache)
    serves = serving(obj, former)
    if verdict.state == "failed":
        problem, pod = _failure(obj, verdict, current, f"{phase}: {detail}" if detail else "")
        return Assessment(verdict, f"{count} {phase}".strip(), problems=[(problem, pod)], serving=serves)
    problems: list[tuple[WaitProblem, Object | None]] = []
    if len(current) < desired_replicas(obj) or obj["kind"] == "DaemonSet":
        problems += [(problem, None) for problem in _refusals(obj, cache)]
    for pod in current:
        pod_problem = _diagnose.pod_problem(pod, cache.events(pod)) or _unbound(pod, cache)
        if pod_problem and not (pod_problem.crashed and obj["kind"] == "Job"):  # a Job has a policy of its own for that
            problems.append((_probed(pod_problem, pod, cache.events(pod)), pod))
    stuck = [pod for pod in former if obj["kind"] == "StatefulSet" and _diagnose.pod_problem(pod)]
    if not current and not phase and obj["kind"] != "Job" and desired_replicas(obj):
        phase = "replacing pods" if former else "creating pods"
    text = f"{count} {phase}".strip() if phase else verdict.reason
    return Assessment(verdict, text, detail, problems, stuck, serves)


def _count(obj: Object, verdict: Verdict, current: list[Object]) -> str:
    """Return ``1/3``, of present pods: the status of a Deployment counts ready ones of earlier revisions too."""
    if group_of(obj) == "apps" and current:
        return f"{sum(judge(pod).state == 'ready' for pod in current)}/{desired_replicas(obj)}"
    return verdict.reason.split(" ", maxsplit=1)[0] if verdict.reason[:1].isdigit() else ""


def _slowest_pod(pods: Iterable[Object], cache: WatchCache) -> tuple[str, str]:
    """Return the phase, and its detail, of the pod that is furthest from ready."""
    phases = [_pod_status.phase(pod, cache.events(pod)) for pod in pods if judge(pod).state == "progressing"]
    return min(phases, key=lambda phase: (_pod_status.rank(phase[0]), not phase[1]), default=("", ""))


def _refusals(obj: Object, cache: WatchCache) -> Iterable[WaitProblem]:
    """Yield the newest refusal to create its pods. Events of an earlier, refused try of the object stay for an hour."""
    entries = mappings(obj, "metadata", "managedFields")
    changed_at = max((text(entry, "time") for entry in entries if entry.get("subresource") != "status"), default="")
    for event in reversed(cache.events(obj)):
        problem = _diagnose.refused_creation(event) if last_seen(event) >= changed_at else None
        if problem:
            yield problem
            return


_KEEP = "set ttlSecondsAfterFinished to some minutes, so that pods and logs of a failed run stay for a look"
_SHORT_LIFE_S = 60


def _short_lived(obj: Object) -> bool:
    """Whether a Job is deleted before anybody can look at it."""
    life = integer(obj, "spec", "ttlSecondsAfterFinished", default=_SHORT_LIFE_S)
    return text(obj, "kind") == "Job" and (deleting(obj) or life < _SHORT_LIFE_S)


STOP_EXIT_CODES = frozenset({0, 137, 143})
"""Exit codes of a container that was told to stop: it ended by itself, or by SIGKILL or SIGTERM."""


def _probed(problem: WaitProblem, pod: Object, events: list[Object]) -> WaitProblem:
    """Return the problem with its probe as the reason, where the kubelet killed the container for it.

    A container that ends by itself may fail its probe too.
    """
    was_stopped = problem.crashed and _exit_code(pod, problem.container) in STOP_EXIT_CODES
    for kind in ("Liveness", "Startup") if was_stopped else ():
        answer = _pod_status.probe(pod, problem.container, events, kind)
        if answer:
            return replace(problem, why=f"its {kind.lower()} probe fails: {answer}")
    return problem


def _exit_code(pod: Object, container: str) -> int:
    for item in _diagnose.container_statuses(pod):
        if text(item, "name") == container:
            return integer(item, "lastState", "terminated", "exitCode", default=-1)
    return -1


def _unbound(pod: Object, cache: WatchCache) -> WaitProblem | None:
    """Return why claims that the pod mounts get no volume: those that a StatefulSet makes from its template."""
    if at(pod, "spec", "nodeName"):
        return None
    namespace = text(pod, "metadata", "namespace")
    for name in claims_of(mapping(pod, "spec")):
        for event in cache.events_named("PersistentVolumeClaim", namespace, name)[-1:]:
            problem = binding_problem(event)
            if problem:
                return replace(problem, reason=f"PersistentVolumeClaim {name}: {problem.reason}")
    return None


def _failure(obj: Object, verdict: Verdict, pods: list[Object], pod_story: str) -> tuple[WaitProblem, Object | None]:
    """Return the failure that the controller reports, explained by its pods, and the pod that explains it."""
    kind, name, namespace = text(obj, "kind"), text(obj, "metadata", "name"), text(obj, "metadata", "namespace")
    if kind in ("Job", "Pod"):
        own_pods = [obj] if kind == "Pod" else sorted(pods, key=lambda pod: text(pod, "metadata", "creationTimestamp"))
        for pod in reversed(own_pods):
            container, ending = _diagnose.ended(pod)
            if container:
                logs = f"kubectl -n {namespace} logs {text(pod, 'metadata', 'name')} -c {container}"
                why = f"its pods ended in failure: {ending}" if kind == "Job" else ending
                way_out = _KEEP if _short_lived(obj) else f"read its log  ·  {logs}"
                return WaitProblem(verdict.reason, why, way_out, 0, container), pod
        describe = f"kubectl -n {namespace} describe {kind.lower()}/{name}"
        return WaitProblem(verdict.reason, "", _KEEP if _short_lived(obj) else describe), None
    if verdict.reason.startswith("ProgressDeadlineExceeded"):
        seconds = integer(obj, "spec", "progressDeadlineSeconds", default=600)
        why = pod_story or f"its pods did not become ready within progressDeadlineSeconds ({seconds})"
        stuck = next((pod for pod in pods if judge(pod).state != "ready"), None)
        way_out = f"kubectl -n {namespace} describe pod {text(stuck, 'metadata', 'name')}" if stuck else ""
        return WaitProblem(verdict.reason, why, way_out, 0, _diagnose.unready(stuck) if stuck else ""), stuck
    return _diagnose.creation_problem(verdict.reason), None
