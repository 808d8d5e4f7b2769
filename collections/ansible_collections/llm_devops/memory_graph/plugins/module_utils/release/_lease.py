# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The lock of a release: a Lease (coordination.k8s.io/v1) that is held, renewed, and fences writes.

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

LEASE_DURATION_S = 20
"""Seconds without renewal after which a Lease counts as abandoned."""
RENEW_INTERVAL_S = 5.0
MAX_RENEWAL_AGE_S = 12.0
"""Seconds since the last renewal after which a write needs another renewal first."""
REVIEW = "SelfSubjectReview"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
Say = Callable[[str, str], None]


class LeaseHeld(ClusterError):
    """Another deployment holds the lock of this release."""


class LeaseLost(ClusterError):
    """We have lost the Lease: nothing further may be written."""


def person() -> str:
    """Return ``alice@laptop``: the user and machine that run this."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def holder() -> str:
    """Return our name as the holder of a Lease, for those who wait for it; unique by its last part."""
    return f"{person()} process {os.getpid()} ({secrets.token_hex(4)})"


def user(cluster: Cluster) -> str:
    """Return our user name at the API server, empty where it does not tell (before Kubernetes 1.28)."""
    try:
        answer = cluster.request("POST", SELF, None, {"apiVersion": "authentication.k8s.io/v1", "kind": REVIEW})
    except ApiError:
        return ""
    return str(answer["status"]["userInfo"].get("username", ""))


def path(name: str, namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{record_name(name)}"


def renewed(lease: Object) -> dt.datetime:
    """Return when the API server took the last renewal: the newest time of an entry that wrote ``renewTime``. Pure."""
    times = [
        _time(entry["time"])
        for entry in lease["metadata"].get("managedFields") or []
        if "f:renewTime" in ((entry.get("fieldsV1") or {}).get("f:spec") or {}) and entry.get("time")
    ]
    return max(times, default=_time(lease["metadata"]["creationTimestamp"]))


def expired(lease: Object, now: dt.datetime) -> bool:
    """Whether the Lease is free: its holder released it, or has not renewed it within its duration. Pure."""
    spec = lease.get("spec") or {}
    if not spec.get("holderIdentity"):
        return True
    return now - renewed(lease) > dt.timedelta(seconds=int(spec.get("leaseDurationSeconds") or LEASE_DURATION_S))


def held_by(lease: Object) -> dict[str, str]:
    """Return the holder, and since when, as data. Pure."""
    spec = lease.get("spec") or {}
    return {"holder": str(spec.get("holderIdentity") or ""), "since": str(spec.get("acquireTime") or "")[:19] + "Z"}


def _time(stamp: str) -> dt.datetime:
    return dt.datetime.fromisoformat(stamp)


class Lease:
    """The Lease of one run, held from :meth:`acquire` to the end of the ``with`` block; every write checks it."""

    def __init__(self, cluster: Cluster, name: str, namespace: str, say: Say) -> None:
        self.cluster, self.name, self.namespace, self.say = cluster, name, namespace, say
        self.identity = holder()
        self._path = path(name, namespace)
        self._object: Object | None = None
        self._renewed = 0.0
        self._lost: ClusterError | None = None
        self._renew_lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, daemon=True)

    @property
    def held(self) -> bool:
        return self._object is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.held:
            self._release()

    def acquire(self, max_wait_s: float) -> None:
        """Acquire the Lease, waiting at most ``patience`` seconds for its holder.

        :raises Held: when another deployment has it still. :raises ClusterError: when we may not.
        """
        deadline, reported_holder = time.monotonic() + max_wait_s, ""
        while not self.held:
            started = time.monotonic()
            other = self._take()
            if other is None:
                self._renewed = started
                break
            holder_of = held_by(other)
            if time.monotonic() >= deadline:
                raise self._refusal(holder_of, max_wait_s)
            if holder_of["holder"] != reported_holder:
                self.say(
                    "lock", f"{holder_of['holder']} deploys {self.name} since {holder_of['since']}; waiting for it"
                )
                reported_holder = holder_of["holder"]
            time.sleep(min(1.0, max(deadline - time.monotonic(), 0.0)))
        self.cluster.guard = self.guard
        self._thread.start()

    def _take(self) -> Object | None:
        """Try once; return the Lease where another holds it."""
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
        lease = self.cluster.find(self._path)
        if lease is None:
            return self._take()
        if held_by(lease)["holder"] == self.identity:  # the answer to our creation got lost
            self._object = lease
            return None
        try:
            if not expired(lease, self._now(lease)):
                return lease
            self._object = self._send("PUT", self._path, self._manifest(lease))
        except ApiError as error:
            if error.status != 409:
                raise
            return self.cluster.find(self._path) or self._take()
        self.say("lock", f"taken over from {held_by(lease)['holder']}, which has not renewed it since {renewed(lease)}")
        return None

    def _now(self, lease: Object) -> dt.datetime:
        """Return the API server's time, which it stamps on the dry run of a renewal."""
        query = {"fieldManager": FIELD_MANAGER, "dryRun": "All"}
        return renewed(dict(self.cluster.request("PUT", self._path, query, self._manifest(lease))))

    def _manifest(self, lease: Object | None) -> Object:
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # to be read by people; nothing depends on it
        before = (lease or {}).get("spec") or {}
        is_ours = before.get("holderIdentity") == self.identity
        metadata: dict[str, Any] = {"name": record_name(self.name), "namespace": self.namespace,
                                    "labels": {MANAGED_BY: FIELD_MANAGER}}  # fmt: skip
        if lease:  # the UID too: a Lease that was deleted would else be made again by the update
            metadata |= {key: lease["metadata"][key] for key in ("resourceVersion", "uid")}
        transitions = int(before.get("leaseTransitions") or 0) + int(bool(before) and not is_ours)
        spec = {"holderIdentity": self.identity, "leaseDurationSeconds": LEASE_DURATION_S, "renewTime": now,
                "acquireTime": before.get("acquireTime") if is_ours else now,
                "leaseTransitions": transitions}  # fmt: skip
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _send(self, verb: str, path: str, body: Object) -> Object:
        return dict(self.cluster.request(verb, path, {"fieldManager": FIELD_MANAGER}, body))

    def _refusal(self, other: dict[str, str], max_wait_s: float) -> LeaseHeld:
        waited = f", also after {max_wait_s:g} s" if max_wait_s else ""
        return LeaseHeld(
            f"{other['holder']} is deploying {self.name} in {self.namespace} since {other['since']}{waited}",
            "wait until it has finished and run again, or set lock_timeout; should it be gone, its lock ends by itself "
            f"{LEASE_DURATION_S} s after its last sign of life",
        )

    def _renew_until_stopped(self) -> None:
        while not self._stopped.wait(RENEW_INTERVAL_S):
            try:
                self._renew()
            except LeaseLost:
                return
            except ClusterError:  # the next write finds out whether it was more than a moment
                continue

    def _renew(self) -> None:
        with self._renew_lock:
            if self._lost or self._object is None:
                return
            start = time.monotonic()
            try:
                self._object = self._send("PUT", self._path, self._manifest(self._object))
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
                self._reclaim()
            self._renewed = start

    def _reclaim(self) -> None:
        """Renew a Lease that was written meanwhile, if by a renewal of ours whose answer got lost; else it is lost."""
        lease = self.cluster.find(self._path)
        if lease and held_by(lease)["holder"] == self.identity:
            self._object = self._send("PUT", self._path, self._manifest(lease))
            return
        reason = f": {held_by(lease)['holder']} has taken it" if lease else ", its Lease was deleted"
        self._lost = LeaseLost(
            f"this run has lost its lock on {self.name} in {self.namespace}{reason}; it stopped before its next write",
            "let the other one finish, then run again",
        )
        raise self._lost

    def guard(self, path: str) -> None:
        """Check before a write that the Lease is ours.

        :raises Lost: when the Lease is another's. :raises ClusterError: when that cannot be known.
        """
        if path.startswith(self._path.rpartition("/")[0]) or path == SELF:
            return
        if self._lost is None and time.monotonic() - self._renewed > MAX_RENEWAL_AGE_S:
            self._renew()
        if self._lost:
            raise self._lost

    def _release(self) -> None:
        self._stopped.set()
        self.cluster.guard = None
        waited = self._renew_lock.acquire(timeout=RENEW_INTERVAL_S)  # of a renewal under way
        held, self._object = self._object, None
        if waited:
            self._renew_lock.release()
        if held is None or self._lost:
            return
        try:
            self.cluster.delete(self._path, held["metadata"]["uid"])
        except ClusterError as error:
            self.say("lock", f"could not be given back and ends in {LEASE_DURATION_S} s: {error.message}")
