# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Wait until everything is ready, by watches, and stop at once on what cannot heal."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from . import _diagnose
from ._cluster import Cluster, TransportError
from ._discovery import Discovery
from ._errors import ApiError, ClusterError
from ._manifest import Object, Ref
from ._plan import Step
from ._predicates import Verdict, judge, observed

WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job"})
DEPLOYMENT_REVISION = "deployment.kubernetes.io/revision"
Say = Callable[[str, str], None]


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


class _Watch(threading.Thread):
    """Feeds changes of one collection into a queue until closed. A watch that ends is opened again."""

    def __init__(self, cluster: Cluster, path: str, query: dict[str, Any], sink: queue.SimpleQueue[Any]) -> None:
        super().__init__(daemon=True)
        self._cluster, self._path, self._query, self._sink = cluster, path, query, sink
        self._closed = threading.Event()
        self._response: Any = None

    def run(self) -> None:
        while not self._closed.is_set():
            try:
                # without a resourceVersion the server first sends what exists: no list, no gap after a broken watch
                self._response = self._cluster.stream(self._path, {"watch": "1", "timeoutSeconds": 290, **self._query})
                for line in _lines(self._response):
                    self._sink.put(json.loads(line))
            except ClusterError as error:
                if not self._closed.is_set():
                    self._sink.put(error)
                return
            except (TransportError, OSError, ValueError, AttributeError):  # dropped, or closed under our feet
                self._closed.wait(0.2)

    def close(self) -> None:
        self._closed.set()
        if self._response is not None:
            try:
                self._response.shutdown()
            except (TransportError, OSError, ValueError):
                return


def _lines(response: Any) -> Iterable[bytes]:
    rest = b""
    for chunk in response.stream(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)


class _Waiter:
    def __init__(self, cluster: Cluster, discovery: Discovery, steps: list[Step], say: Say) -> None:
        self.cluster, self.discovery, self.say = cluster, discovery, say
        self.start = time.monotonic()
        self.live: dict[Ref, Object] = {step.ref: (step.after or step.live or step.manifest) for step in steps}
        self.steps = {step.ref: step for step in steps}
        self.pods: dict[str, Object] = {}
        self.events: dict[str, Object] = {}
        self.since: dict[tuple[Ref, str], float] = {}
        self.status: dict[Ref, Status] = {}
        self.sink: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.watches: list[_Watch] = []
        self.ending = False
        self.binding: dict[str, str] = {}

    def run(self, timeout: float) -> list[Status]:
        self._judge_all()
        try:
            if self._open():
                self._watch()
            end = self.start + timeout
            while self._open() and time.monotonic() < end:
                if self._failed():  # a moment more, so that what fails for the same reason is told with it
                    end = min(end, time.monotonic() + 1.0) if not self.ending else end
                    self.ending = True
                self._take(min(1.0, end - time.monotonic()))
                self._judge_all()
        finally:
            for watch in self.watches:
                watch.close()
        for status in self.status.values():
            if status.state != "ready":
                self._explain(status)
        return list(self.status.values())

    def _open(self) -> bool:
        return any(status.state == "progressing" for status in self.status.values())

    def _failed(self) -> bool:
        return any(status.state == "failed" for status in self.status.values())

    def _watch(self) -> None:
        waiting = [ref for ref, status in self.status.items() if status.state == "progressing"]
        places = {(self.steps[ref].resource, ref.namespace) for ref in waiting}
        for resource, namespace in places:
            if resource is None:
                continue
            names = [ref for ref in waiting if ref.kind == resource.kind and ref.namespace == namespace]
            one = {"fieldSelector": f"metadata.name={names[0].name}"} if len(names) == 1 else {}
            self.watches.append(_Watch(self.cluster, resource.collection(namespace or None), one, self.sink))
        for namespace in {
            ref.namespace for ref in waiting if ref.kind in WORKLOADS or ref.kind == "PersistentVolumeClaim"
        }:
            root = f"/api/v1/namespaces/{namespace}"
            self.watches.append(_Watch(self.cluster, f"{root}/pods", {}, self.sink))
            self.watches.append(_Watch(self.cluster, f"{root}/events", {"fieldSelector": "type=Warning"}, self.sink))
        for watch in self.watches:
            watch.start()

    def _take(self, seconds: float) -> None:
        try:
            self._note(self.sink.get(timeout=max(seconds, 0.01)))
            while True:
                self._note(self.sink.get_nowait())
        except queue.Empty:
            return

    def _note(self, event: Any) -> None:
        if isinstance(event, ClusterError):
            raise event
        obj = event.get("object") or {}
        if obj.get("kind") == "Status":
            return
        metadata = obj["metadata"]
        if obj["kind"] in ("Pod", "Event"):
            kept = self.pods if obj["kind"] == "Pod" else self.events
            kept.pop(metadata["uid"], None)
            if event["type"] != "DELETED":
                kept[metadata["uid"]] = obj
        group = str(obj["apiVersion"]).rpartition("/")[0]
        ref = Ref(group, obj["kind"], metadata.get("namespace", ""), metadata["name"])
        if ref in self.live:
            self.live[ref] = obj

    def _judge_all(self) -> None:
        for ref, obj in self.live.items():
            status = self.status.setdefault(ref, Status(ref, "progressing", ""))
            if status.state == "progressing":
                self._judge(status, obj)

    def _judge(self, status: Status, obj: Object) -> None:
        verdict = judge(obj)
        text = verdict.reason
        if status.ref.kind in WORKLOADS and verdict.state == "progressing":
            verdict, text = self._with_pods(status, obj, verdict)
        elif (
            status.ref.kind == "PersistentVolumeClaim" and verdict.state == "progressing" and self._first_consumer(obj)
        ):
            verdict, text = Verdict("ready", "waits for its first consumer"), "waits for its first consumer"
        if verdict.state == "failed" and not status.why:
            found = _diagnose.creation_trouble(verdict.reason)
            status.why, status.way_out = found.why, found.way_out
        status.state, status.reason = verdict.state, verdict.reason
        step = self.steps[status.ref]
        if text and (not status.trail or status.trail[-1] != text) and (status.trail or verdict.state != "ready"):
            status.trail.append(text)
            status.seconds = time.monotonic() - self.start
            self.say("wait", f"{step.ref}  {text}")

    def _first_consumer(self, claim: Object) -> bool:
        """A claim nobody mounts in this release is as ready as it can get under WaitForFirstConsumer."""
        mount = f'"claimName": "{claim["metadata"]["name"]}"'
        if any(mount in json.dumps(step.manifest) for step in self.steps.values()):
            return False
        name = (claim.get("spec") or {}).get("storageClassName") or ""
        if name and name not in self.binding:
            try:
                found = self.cluster.find(f"/apis/storage.k8s.io/v1/storageclasses/{name}")
            except ApiError:  # a deployer bound to one namespace may not read classes: then the claim is waited for
                found = None
            self.binding[name] = str((found or {}).get("volumeBindingMode", ""))
        return self.binding.get(name) == "WaitForFirstConsumer"

    def _patient(self, key: tuple[Ref, str], patience: float) -> bool:
        first = self.since.setdefault(key, time.monotonic())
        return time.monotonic() - first >= patience

    def _with_pods(self, status: Status, obj: Object, verdict: Verdict) -> tuple[Verdict, str]:
        if not observed(obj):  # until its controller has seen the change, its pods are those of before
            return verdict, verdict.reason
        wanted = verdict.reason.split(" ")[0]
        for event in self.events.values():
            found = _diagnose.refused_creation(event) if _about(event, obj, status.ref.kind) else None
            if found and self._patient((status.ref, found.reason[:60]), found.patience):
                status.why, status.way_out = found.why, found.way_out
                return Verdict("failed", found.reason), f"{wanted} {found.reason.split(':')[0]}"
        words = []
        for pod in self._pods_of(status.ref, obj):
            found = _diagnose.trouble(pod)
            if found and _outdated(pod, obj):
                self._replace(status, pod)
            elif found and self._patient((status.ref, pod["metadata"]["name"]), found.patience):
                status.why, status.way_out = found.why, found.way_out
                self._log(status, pod, found)
                return Verdict(
                    "failed", f"Pod {pod['metadata']['name']}: {found.reason}"
                ), f"{wanted} {found.reason.split(':')[0]}"
            elif judge(pod).state != "ready":
                words.append(_diagnose.phase(pod))
        return verdict, f"{wanted} {words[0]}" if words else verdict.reason

    def _pods_of(self, ref: Ref, obj: Object) -> list[Object]:
        labels = ((obj.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        return [
            pod for pod in self.pods.values()
            if labels and labels.items() <= (pod["metadata"].get("labels") or {}).items()
            and pod["metadata"].get("namespace") == ref.namespace and not pod["metadata"].get("deletionTimestamp")
        ]  # fmt: skip

    def _serving(self, ref: Ref) -> str:
        obj = self.live[ref]
        current = self._current_hash(ref, obj) if observed(obj) else ""
        ready = [
            pod for pod in self._pods_of(ref, obj)
            if judge(pod).state == "ready" and _revision_of(pod) not in ("", current)
        ]  # fmt: skip
        return f"{len(ready)}/{obj['spec'].get('replicas', 1)}" if current and ready else ""

    def _current_hash(self, ref: Ref, obj: Object) -> str:
        """What marks the pods of the present revision; of a Deployment only its newest ReplicaSet knows."""
        if ref.kind == "StatefulSet":
            return str((obj.get("status") or {}).get("updateRevision", ""))
        if ref.kind != "Deployment":
            return ""
        labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
        selector, uid = ",".join(f"{key}={value}" for key, value in labels.items()), obj["metadata"].get("uid")
        try:
            listed = list(self.cluster.list(f"/apis/apps/v1/namespaces/{ref.namespace}/replicasets", selector))
        except ClusterError:  # what still serves is extra; without the right to list ReplicaSets the reason stands
            return ""
        numbered = {
            int(one["metadata"].get("annotations", {}).get(DEPLOYMENT_REVISION, 0)): one["metadata"]["labels"]
            for one in listed
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences", []))
        }
        return str(numbered[max(numbered)].get("pod-template-hash", "")) if numbered else ""

    def _replace(self, status: Status, pod: Object) -> None:
        """Delete a broken pod of an older revision: a StatefulSet waits for it to become ready before it replaces it,
        which it never will (kubernetes/kubernetes issue 67250, "forced rollback")."""
        metadata = pod["metadata"]
        if status.ref.kind == "StatefulSet" and self._patient((status.ref, metadata["uid"]), 2.0):
            self.cluster.delete(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}", metadata["uid"])
            self.pods.pop(metadata["uid"], None)
            status.trail.append(f"replaced broken {metadata['name']}")
            self.say("wait", f"{status.ref}  replaced broken pod {metadata['name']} of an older revision")

    def _log(self, status: Status, pod: Object, found: _diagnose.Trouble) -> None:
        if not found.crashed:
            return
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/log"
        try:
            text = self.cluster.text(path, {"container": found.container, "tailLines": 10, "previous": "true"})
        except ClusterError as error:  # the log is extra; without the right to read it the reason still stands
            text = f"(log not readable: {error.message})"
        status.log = [entry[:300] for entry in text.splitlines()]

    def _explain(self, status: Status) -> None:
        uid, name = self.live[status.ref]["metadata"].get("uid"), status.ref.name
        for event in self.events.values():
            involved = event.get("involvedObject") or {}
            if involved.get("uid") == uid or str(involved.get("name", "")).startswith(f"{name}-"):
                status.events.append(
                    f"{event.get('reason')} {involved.get('kind')}/{involved.get('name')}: {event.get('message')}"
                )
        status.events = status.events[-5:]
        status.serving = self._serving(status.ref)
        if status.state == "progressing" and not status.way_out:
            status.why = "it did not become ready in time"
            status.way_out = f"kubectl -n {status.ref.namespace} describe {status.ref.kind.lower()} {name}"


def _about(event: Object, obj: Object, kind: str) -> bool:
    """Only events of the present: those of an earlier, refused try of the same object stay for an hour."""
    involved = event.get("involvedObject") or {}
    if involved.get("uid") != obj["metadata"].get("uid") or kind == "Deployment":
        return False
    stamp = str(event.get("lastTimestamp") or event.get("eventTime") or "")
    entries = obj["metadata"].get("managedFields") or []
    changed = max((str(item.get("time", "")) for item in entries if item.get("subresource") != "status"), default="")
    return stamp >= changed


def _revision_of(pod: Object) -> str:
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get("controller-revision-hash") or labels.get("pod-template-hash") or "")


def _outdated(pod: Object, obj: Object) -> bool:
    labels, status = pod["metadata"].get("labels") or {}, obj.get("status") or {}
    revision = labels.get("controller-revision-hash")
    if obj["kind"] == "StatefulSet" and revision:
        seen = int(status.get("observedGeneration") or 0) >= int(obj["metadata"].get("generation") or 0)
        return seen and bool(revision != status.get("updateRevision"))
    if obj["kind"] == "Deployment":  # pods older than the rollout belong to the revision that is being replaced
        changed = [
            str(item["time"]) for item in obj["metadata"].get("managedFields") or [] if item.get("operation") == "Apply"
        ]
        return bool(changed) and pod["metadata"]["creationTimestamp"] < max(changed)
    return False


def await_all(cluster: Cluster, discovery: Discovery, steps: list[Step], timeout: float, say: Say) -> list[Status]:
    """Wait for all steps together, at most ``timeout`` seconds.

    Returns as soon as one failed for good: the rest is reported as it then stood.
    """
    return _Waiter(cluster, discovery, [step for step in steps if step.resource], say).run(timeout)
