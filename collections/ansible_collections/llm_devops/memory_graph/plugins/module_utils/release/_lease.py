# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""One deployment of a release at a time: a Lease (coordination.k8s.io/v1) that is held, renewed, and fences writes.

No clock but the API server's is trusted: how old a renewal is follows from the time the server itself wrote into the
Lease's ``managedFields``, compared with the time it stamps on an answer now.
"""

from __future__ import annotations

import datetime as dt
import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from .._errors import ApiError, ClusterError, Unreachable
from ..cluster._cluster import FIELD_MANAGER, Cluster
from ..objects._manifest import MANAGED_BY, Object, record_name

DURATION = 20
"""Seconds without renewal after which a Lease counts as left behind."""
RENEW_EVERY = 5.0
FENCE_AFTER = 12.0
"""Seconds since the last renewal after which nothing is written before another renewal succeeded."""
REVIEW = "SelfSubjectReview"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
Say = Callable[[str, str], None]


class Held(ClusterError):
    """Somebody else deploys this release."""


class Lost(ClusterError):
    """The Lease was ours and is no more: nothing further may be written."""


def person() -> str:
    """``alice@laptop``: who runs this, as the machine knows it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def holder() -> str:
    """Who holds a Lease, for the one who waits for it; unique by its last part."""
    return f"{person()} process {os.getpid()} ({secrets.token_hex(4)})"


def user(cluster: Cluster) -> str:
    """Who we are to the API server, empty where it does not tell (before Kubernetes 1.28)."""
    try:
        answer = cluster.request("POST", SELF, None, {"apiVersion": "authentication.k8s.io/v1", "kind": REVIEW})
    except ApiError:
        return ""
    return str(answer["status"]["userInfo"].get("username", ""))


def path(name: str, namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{record_name(name)}"


def renewed(lease: Object) -> dt.datetime:
    """When the API server took the last renewal: the newest time of an entry that wrote ``renewTime``. Pure."""
    times = [
        _time(entry["time"])
        for entry in lease["metadata"].get("managedFields") or []
        if "f:renewTime" in ((entry.get("fieldsV1") or {}).get("f:spec") or {}) and entry.get("time")
    ]
    return max(times, default=_time(lease["metadata"]["creationTimestamp"]))


def expired(lease: Object, now: dt.datetime) -> bool:
    """Whether the holder is gone: it let go, or has not renewed for as long as it said it would. Pure."""
    spec = lease.get("spec") or {}
    if not spec.get("holderIdentity"):
        return True
    return now - renewed(lease) > dt.timedelta(seconds=int(spec.get("leaseDurationSeconds") or DURATION))


def held_by(lease: Object) -> dict[str, str]:
    """Holder and since when, as data. Pure."""
    spec = lease.get("spec") or {}
    return {"holder": str(spec.get("holderIdentity") or ""), "since": str(spec.get("acquireTime") or "")[:19] + "Z"}


def _time(stamp: str) -> dt.datetime:
    return dt.datetime.fromisoformat(stamp)


class Lease:
    """Held between :meth:`acquire` and the end of the ``with`` block; every write in between makes sure of it."""

    def __init__(self, cluster: Cluster, name: str, namespace: str, say: Say) -> None:
        self.cluster, self.name, self.namespace, self.say = cluster, name, namespace, say
        self.identity = holder()
        self._path = path(name, namespace)
        self._object: Object | None = None
        self._renewed = 0.0
        self._lost: ClusterError | None = None
        self._turn = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    @property
    def held(self) -> bool:
        return self._object is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.held:
            self._release()

    def acquire(self, patience: float) -> None:
        """Take the Lease, waiting at most ``patience`` seconds for its holder.

        :raises Held: when another deployment has it still. :raises ClusterError: when we may not.
        """
        deadline, told = time.monotonic() + patience, ""
        while not self.held:
            start = time.monotonic()
            other = self._take()
            if other is None:
                self._renewed = start
                break
            who = held_by(other)
            if time.monotonic() >= deadline:
                raise self._refusal(who, patience)
            if who["holder"] != told:
                self.say("lock", f"{who['holder']} deploys {self.name} since {who['since']}; waiting for it")
                told = who["holder"]
            time.sleep(min(1.0, max(deadline - time.monotonic(), 0.0)))
        self.cluster.guard = self.guard
        self._thread.start()

    def _take(self) -> Object | None:
        """One try; returns the Lease of another who has it."""
        collection = self._path.rpartition("/")[0]
        try:
            self._object = self._send("POST", collection, self._manifest(None))
        except ApiError as error:
            if error.status != 409:
                raise
        except Unreachable:  # it may have arrived all the same
            pass
        else:
            return None
        found = self.cluster.find(self._path)
        if found is None:
            return self._take()
        if held_by(found)["holder"] == self.identity:  # the answer to our creation got lost
            self._object = found
            return None
        try:
            if not expired(found, self._now(found)):
                return found
            self._object = self._send("PUT", self._path, self._manifest(found))
        except ApiError as error:
            if error.status != 409:
                raise
            return self.cluster.find(self._path) or self._take()
        self.say("lock", f"taken over from {held_by(found)['holder']}, which has not renewed it since {renewed(found)}")
        return None

    def _now(self, found: Object) -> dt.datetime:
        """The API server's time: what it stamps on a renewal that is not carried out."""
        query = {"fieldManager": FIELD_MANAGER, "dryRun": "All"}
        return renewed(dict(self.cluster.request("PUT", self._path, query, self._manifest(found))))

    def _manifest(self, found: Object | None) -> Object:
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # to be read by people; nothing depends on it
        before = (found or {}).get("spec") or {}
        ours = before.get("holderIdentity") == self.identity
        metadata: dict[str, Any] = {"name": record_name(self.name), "namespace": self.namespace,
                                    "labels": {MANAGED_BY: FIELD_MANAGER}}  # fmt: skip
        if found:  # the UID too: a Lease that was deleted would else be made again by the update
            metadata |= {key: found["metadata"][key] for key in ("resourceVersion", "uid")}
        transitions = int(before.get("leaseTransitions") or 0) + int(bool(before) and not ours)
        spec = {"holderIdentity": self.identity, "leaseDurationSeconds": DURATION, "renewTime": now,
                "acquireTime": before.get("acquireTime") if ours else now, "leaseTransitions": transitions}  # fmt: skip
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _send(self, verb: str, path: str, body: Object) -> Object:
        return dict(self.cluster.request(verb, path, {"fieldManager": FIELD_MANAGER}, body))

    def _refusal(self, who: dict[str, str], patience: float) -> Held:
        waited = f", also after {patience:g} s" if patience else ""
        return Held(
            f"{who['holder']} is deploying {self.name} in {self.namespace} since {who['since']}{waited}",
            "wait until it has finished and run again, or set lock_timeout; should it be gone, its lock ends by itself "
            f"{DURATION} s after its last sign of life",
        )

    def _keep(self) -> None:
        while not self._done.wait(RENEW_EVERY):
            try:
                self._renew()
            except Lost:
                return
            except ClusterError:  # the next write finds out whether it was more than a moment
                continue

    def _renew(self) -> None:
        with self._turn:
            if self._lost or self._object is None:
                return
            start = time.monotonic()
            try:
                self._object = self._send("PUT", self._path, self._manifest(self._object))
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
                self._look_again()
            self._renewed = start

    def _look_again(self) -> None:
        """Our Lease was written by another, or is gone. A renewal of ours whose answer got lost is still ours."""
        found = self.cluster.find(self._path)
        if found and held_by(found)["holder"] == self.identity:
            self._object = self._send("PUT", self._path, self._manifest(found))
            return
        by = f": {held_by(found)['holder']} has taken it" if found else ", its Lease was deleted"
        self._lost = Lost(
            f"this run has lost its lock on {self.name} in {self.namespace}{by}; it stopped before its next write",
            "let the other one finish, then run again",
        )
        raise self._lost

    def guard(self, path: str) -> None:
        """Called before every write.

        :raises Lost: when the Lease is another's. :raises ClusterError: when that cannot be known.
        """
        if path.startswith(self._path.rpartition("/")[0]) or path == SELF:
            return
        if self._lost is None and time.monotonic() - self._renewed > FENCE_AFTER:
            self._renew()
        if self._lost:
            raise self._lost

    def _release(self) -> None:
        self._done.set()
        self.cluster.guard = None
        waited = self._turn.acquire(timeout=RENEW_EVERY)  # of a renewal under way
        held, self._object = self._object, None
        if waited:
            self._turn.release()
        if held is None or self._lost:
            return
        try:
            self.cluster.delete(self._path, held["metadata"]["uid"])
        except ClusterError as error:
            self.say("lock", f"could not be given back and ends in {DURATION} s: {error.message}")
