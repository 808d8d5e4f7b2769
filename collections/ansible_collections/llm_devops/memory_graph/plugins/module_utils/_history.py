# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The release's memory in the cluster: one Secret, which is also the ApplySet parent (KEP-3659).

It holds names and a digest, never manifests, and stays small: the last ten revisions. The digest and every shown hash
are keyed with a random key kept beside them, so that neither helps to guess a secret.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ._cluster import Cluster
from ._errors import ClusterError
from ._manifest import MANAGED_BY, Object, Ref, applyset_id, record_name

TOOLING = "llm-devops-memory-graph/v1"
TOOLING_ANNOTATION = "applyset.kubernetes.io/tooling"
KEPT_REVISIONS = 10


@dataclass(frozen=True)
class Member:
    """An object of a release, with the version it was applied in, which is needed to address it.

    ``stamp`` is a keyed digest of what was sent and of the fields it then owned, empty when that is not known.
    """

    api_version: str
    ref: Ref
    stamp: str = field(default="", compare=False)

    def as_dict(self) -> dict[str, str]:
        return {
            "api_version": self.api_version,
            "kind": self.ref.kind,
            "namespace": self.ref.namespace,
            "name": self.ref.name,
        }


@dataclass(frozen=True)
class Record:
    """``revision`` 0 means: never released. ``state`` is pending, deployed, failed or uninstalled.

    An uninstalled release has left members behind, data it was not told to delete.
    """

    name: str
    namespace: str
    revision: int = 0
    state: str = ""
    when: str = ""
    digest: str = ""
    members: tuple[Member, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def id(self) -> str:
        return applyset_id(self.name, self.namespace)

    @property
    def last_deployed(self) -> int:
        """The newest revision whose objects all became ready, 0 when none did."""
        states = {int(past["revision"]): past["state"] for past in self.history} | {self.revision: self.state}
        return max((revision for revision, state in states.items() if state == "deployed"), default=0)

    def digest_of(self, content: bytes) -> str:
        return f"hmac-sha256:{hmac.new(self.key, content, hashlib.sha256).hexdigest()}"


def path(name: str, namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{record_name(name)}"


def read(cluster: Cluster, name: str, namespace: str) -> Record:
    """The record of the release, or an empty one.

    :raises ClusterError: when the Secret is another tool's or cannot be understood.
    """
    found = cluster.find(path(name, namespace))
    return parsed(found, name, namespace) if found else Record(name, namespace)


def parsed(found: Object, name: str, namespace: str) -> Record:
    """Pure half of :func:`read`."""
    where = f"Secret/{record_name(name)} in {namespace}"
    tooling = ((found["metadata"].get("annotations")) or {}).get(TOOLING_ANNOTATION, "none")
    if tooling != TOOLING:
        raise ClusterError(
            f"{where} belongs to other tooling ({TOOLING_ANNOTATION}: {tooling})", "give the release another name"
        )
    try:
        data = json.loads(base64.b64decode(found["data"]["release.json"]))
        return Record(
            name,
            namespace,
            int(data["revision"]),
            str(data["state"]),
            str(data["when"]),
            str(data["digest"]),
            tuple(_member(item) for item in data["objects"]),
            tuple(data["history"]),
            base64.b64decode(found["data"]["key"]),
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ClusterError(
            f"{where} is damaged and says nothing about the release: {error!r}",
            f"delete it; the next run adopts the objects again as revision 1 "
            f"(kubectl -n {namespace} delete secret {record_name(name)})",
        ) from error


def _member(item: dict[str, str]) -> Member:
    api_version = item["api_version"]
    identity = Ref(api_version.rpartition("/")[0], item["kind"], item["namespace"], item["name"])
    return Member(api_version, identity, item.get("stamp", ""))


def advanced(record: Record, revision: int, state: str, digest: str, members: Iterable[Member]) -> Record:
    """The record with a new current revision, the old one moved to its history."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    history = record.history
    if record.revision and record.revision != revision:
        past = {"revision": record.revision, "state": record.state, "when": record.when, "digest": record.digest}
        history = (*history, past)[-KEPT_REVISIONS:]
    ordered = tuple(sorted(set(members), key=lambda item: item.ref))
    return replace(record, revision=revision, state=state, when=now, digest=digest, members=ordered, history=history)


def manifest(record: Record) -> Object:
    """The Secret that holds ``record``."""
    data = {
        "name": record.name,
        "revision": record.revision,
        "state": record.state,
        "when": record.when,
        "digest": record.digest,
        "objects": [{**item.as_dict(), "stamp": item.stamp} for item in record.members],
        "history": list(record.history),
    }
    kinds = {f"{item.ref.kind}.{item.ref.group}" if item.ref.group else item.ref.kind for item in record.members}
    namespaces = {item.ref.namespace for item in record.members} - {record.namespace, ""}
    annotations = {TOOLING_ANNOTATION: TOOLING, "applyset.kubernetes.io/contains-group-kinds": ",".join(sorted(kinds))}
    if namespaces:
        annotations["applyset.kubernetes.io/additional-namespaces"] = ",".join(sorted(namespaces))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "llm-devops.memory-graph/release.v1",
        "metadata": {
            "name": record_name(record.name),
            "namespace": record.namespace,
            "labels": {"applyset.kubernetes.io/id": record.id, MANAGED_BY: "llm-devops-memory-graph"},
            "annotations": annotations,
        },
        "data": {
            "release.json": base64.b64encode(json.dumps(data, separators=(",", ":")).encode()).decode(),
            "key": base64.b64encode(record.key).decode(),
        },
    }


def write(cluster: Cluster, record: Record) -> None:
    # forced: the record is ours alone, and nobody's edit of it can mean anything
    cluster.apply(path(record.name, record.namespace), manifest(record), force=True)
