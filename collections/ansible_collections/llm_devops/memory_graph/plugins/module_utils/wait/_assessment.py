# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""How an awaited object stands, and what troubles it: its verdict weighed with its pods and events. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .._json import at, integer, mapping, mappings, text
from ..objects._manifest import Object, ref
from ..objects._namespaces import held
from . import _diagnose, _pod_status
from ._diagnose import Trouble
from ._pods import claims_of, is_workload, serving
from ._predicates import Verdict, deleting, group_of, judge, observed, wanted_replicas
from ._watch_cache import GONE, Evidence, moment


@dataclass(frozen=True)
class Finding:
    """``text`` names the state and changes with it alone; ``detail`` may differ from event to event.

    ``troubles`` are what may end the wait, each with the pod it was found in. ``stuck`` are broken pods of an earlier
    revision that a StatefulSet does not replace before they are ready. ``serving`` counts ready pods of before.
    ``pending_claim`` is a PersistentVolumeClaim that has no volume yet.
    """

    verdict: Verdict
    text: str
    detail: str = ""
    troubles: list[tuple[Trouble, Object | None]] = field(default_factory=list)
    stuck: list[Object] = field(default_factory=list)
    serving: str = ""
    pending_claim: bool = False

    @property
    def sentence(self) -> str:
        return f"{self.text}: {self.detail}" if self.detail else self.text


def find(obj: Object, evidence: Evidence) -> Finding:
    """Weigh one object as it was last seen."""
    verdict, kind = judge(obj), (group_of(obj), text(obj, "kind"))
    if ref(obj) in evidence.deleted:
        return Finding(verdict, "deleted", troubles=[(_deleted(obj), None)])
    if verdict.state == "ready":
        return Finding(verdict, verdict.reason)
    if is_workload(obj):
        return _workload(obj, verdict, evidence)
    if kind == ("", "PersistentVolumeClaim") and verdict.state == "progressing":
        return _claim(verdict, evidence.events(obj))
    if kind == ("", "Service"):
        state, detail = _parted(verdict.reason)
        return Finding(verdict, state, _last_event(evidence.events(obj)) or detail)
    if kind == ("autoscaling", "HorizontalPodAutoscaler"):
        trouble = _diagnose.scale_trouble(verdict.reason)
        return Finding(verdict, *_parted(verdict.reason), troubles=[(trouble, None)] if trouble else [])
    if verdict.state == "failed":
        return Finding(verdict, verdict.reason, troubles=[(_own_failure(obj, verdict), None)])
    return Finding(verdict, *_parted(verdict.reason))


def _own_failure(obj: Object, verdict: Verdict) -> Trouble:
    """What an object's own status says; of an APIService a moment later, since its Service may just have come."""
    if (group_of(obj), text(obj, "kind")) == ("apiregistration.k8s.io", "APIService"):
        service = mapping(obj, "spec", "service")
        why = "it points to a Service that does not exist; until it does, no namespace of the cluster can be deleted"
        where = f"Service {text(service, 'name')} in {text(service, 'namespace')}"
        way_out = f"create {where}, or correct spec.service"
        return Trouble(verdict.reason, why, way_out, _diagnose.REFERENCE_PATIENCE)
    return Trouble(verdict.reason, "", "")


def _deleted(obj: Object) -> Trouble:
    """An object that somebody else deletes: it will not become ready any more."""
    since, finalizers = text(obj, "metadata", "deletionTimestamp"), held(obj)
    if since == GONE:
        way_out = "find out who deletes it, and run again to make it anew"
        return Trouble("deleted while it was waited for", "", way_out, final=True)
    waits = f", waiting for finalizers: {finalizers}" if finalizers else ""
    way_out = "wait until it is gone, and run again to make it anew"
    return Trouble(f"being deleted since {since}{waits}", "", way_out, final=True)


def _parted(reason: str) -> tuple[str, str]:
    """``MissingEndpoints: endpoints for … have no addresses`` as state and detail."""
    state, _colon, detail = reason.partition(": ")
    return state, detail


def _last_event(events: list[Object]) -> str:
    """``AllocationFailed: no available IPs``."""
    last = events[-1] if events else {}
    return ": ".join(said for key in ("reason", "message") if (said := _diagnose.one_line(text(last, key))[:200]))


def _claim(verdict: Verdict, events: list[Object]) -> Finding:
    found = [(trouble, None) for trouble in map(_diagnose.claim_trouble, events[-1:]) if trouble]
    return Finding(verdict, verdict.reason, _claim_detail(events), [*found], pending_claim=True)


def without_volume(found: Finding, claim: Object) -> Finding:
    """What was found of a claim, where the volume that it asks for by name is not there."""
    trouble = _diagnose.no_volume(claim)
    return replace(found, detail=trouble.reason, troubles=[(trouble, None)])


def _claim_detail(events: list[Object]) -> str:
    return _diagnose.one_line(text(events[-1], "message"))[:200] if events else ""


def _workload(obj: Object, verdict: Verdict, evidence: Evidence) -> Finding:
    if group_of(obj) == "apps" and not observed(obj):  # until its controller has seen the change, pods are of before
        return Finding(verdict, verdict.reason)
    current, former = evidence.pods(obj)
    count = _count(obj, verdict, current)
    word, detail = _least(current, evidence)
    serves = serving(obj, former)
    if verdict.state == "failed":
        trouble, pod = _failure(obj, verdict, current, f"{word}: {detail}" if detail else "")
        return Finding(verdict, f"{count} {word}".strip(), troubles=[(trouble, pod)], serving=serves)
    troubles: list[tuple[Trouble, Object | None]] = []
    if len(current) < wanted_replicas(obj) or obj["kind"] == "DaemonSet":
        troubles += [(found, None) for found in _refusals(obj, evidence)]
    for pod in current:
        found = _diagnose.trouble(pod, evidence.events(pod)) or _unbound(pod, evidence)
        if found and not (found.crashed and obj["kind"] == "Job"):  # how often to try again is the Job's own policy
            troubles.append((_probed(found, pod, evidence.events(pod)), pod))
    stuck = [pod for pod in former if obj["kind"] == "StatefulSet" and _diagnose.trouble(pod)]
    if not current and not word and obj["kind"] != "Job" and wanted_replicas(obj):
        word = "replacing pods" if former else "creating pods"
    text = f"{count} {word}".strip() if word else verdict.reason
    return Finding(verdict, text, detail, troubles, stuck, serves)


def _count(obj: Object, verdict: Verdict, current: list[Object]) -> str:
    """``1/3``; of present pods, since the status of a Deployment counts ready ones of earlier revisions too."""
    if group_of(obj) == "apps" and current:
        return f"{sum(judge(pod).state == 'ready' for pod in current)}/{wanted_replicas(obj)}"
    return verdict.reason.split(" ", maxsplit=1)[0] if verdict.reason[:1].isdigit() else ""


def _least(pods: Iterable[Object], evidence: Evidence) -> tuple[str, str]:
    """What the pod that is furthest from ready does."""
    phases = [_pod_status.phase(pod, evidence.events(pod)) for pod in pods if judge(pod).state == "progressing"]
    return min(phases, key=lambda one: (_pod_status.rank(one[0]), not one[1]), default=("", ""))


def _refusals(obj: Object, evidence: Evidence) -> Iterable[Trouble]:
    """Only of the present: events of an earlier, refused try of the same object stay for an hour."""
    entries = mappings(obj, "metadata", "managedFields")
    changed = max((text(one, "time") for one in entries if one.get("subresource") != "status"), default="")
    for event in reversed(evidence.events(obj)):
        found = _diagnose.refused_creation(event) if moment(event) >= changed else None
        if found:
            yield found
            return


_KEEP = "set ttlSecondsAfterFinished to some minutes, so that pods and logs of a failed run stay for a look"
_SHORT_LIFE_S = 60


def _short_lived(obj: Object) -> bool:
    """Whether a Job is deleted before anybody can look at it."""
    life = integer(obj, "spec", "ttlSecondsAfterFinished", default=_SHORT_LIFE_S)
    return text(obj, "kind") == "Job" and (deleting(obj) or life < _SHORT_LIFE_S)


KILLED = frozenset({0, 137, 143})
"""Exit codes of a container that was told to end: it did so in peace, or of SIGKILL or SIGTERM."""


def _probed(trouble: Trouble, pod: Object, events: list[Object]) -> Trouble:
    """A container that the kubelet kills for its probe does not end by itself; one that does may fail its probe too."""
    told_to_end = trouble.crashed and _exit_code(pod, trouble.container) in KILLED
    for kind in ("Liveness", "Startup") if told_to_end else ():
        told = _pod_status.probe(pod, trouble.container, events, kind)
        if told:
            return replace(trouble, why=f"its {kind.lower()} probe fails: {told}")
    return trouble


def _exit_code(pod: Object, container: str) -> int:
    for item in _diagnose.container_statuses(pod):
        if text(item, "name") == container:
            return integer(item, "lastState", "terminated", "exitCode", default=-1)
    return -1


def _unbound(pod: Object, evidence: Evidence) -> Trouble | None:
    """Why claims the pod mounts get no volume, for those a StatefulSet makes from its template."""
    if at(pod, "spec", "nodeName"):
        return None
    namespace = text(pod, "metadata", "namespace")
    for name in claims_of(mapping(pod, "spec")):
        for event in evidence.events_named("PersistentVolumeClaim", namespace, name)[-1:]:
            found = _diagnose.claim_trouble(event)
            if found:
                return replace(found, reason=f"PersistentVolumeClaim {name}: {found.reason}")
    return None


def _failure(obj: Object, verdict: Verdict, pods: list[Object], story: str) -> tuple[Trouble, Object | None]:
    """What the controller says, with what is known of the pods behind it."""
    kind, name, namespace = text(obj, "kind"), text(obj, "metadata", "name"), text(obj, "metadata", "namespace")
    if kind in ("Job", "Pod"):
        own = [obj] if kind == "Pod" else sorted(pods, key=lambda pod: text(pod, "metadata", "creationTimestamp"))
        for pod in reversed(own):
            container, how = _diagnose.ended(pod)
            if container:
                logs = f"kubectl -n {namespace} logs {text(pod, 'metadata', 'name')} -c {container}"
                why = f"its pods ended in failure: {how}" if kind == "Job" else how
                way_out = _KEEP if _short_lived(obj) else f"read its log  ·  {logs}"
                return Trouble(verdict.reason, why, way_out, 0, container), pod
        describe = f"kubectl -n {namespace} describe {kind.lower()}/{name}"
        return Trouble(verdict.reason, "", _KEEP if _short_lived(obj) else describe), None
    if verdict.reason.startswith("ProgressDeadlineExceeded"):
        seconds = integer(obj, "spec", "progressDeadlineSeconds", default=600)
        why = story or f"its pods did not become ready within progressDeadlineSeconds ({seconds})"
        stuck = next((pod for pod in pods if judge(pod).state != "ready"), None)
        way_out = f"kubectl -n {namespace} describe pod {text(stuck, 'metadata', 'name')}" if stuck else ""
        return Trouble(verdict.reason, why, way_out, 0, _diagnose.unready(stuck) if stuck else ""), stuck
    return _diagnose.creation_trouble(verdict.reason), None
