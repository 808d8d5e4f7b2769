# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The record of a release in the cluster: one Secret, which is also the ApplySet parent (KEP-3659).

It holds names and digests; the manifests of each revision are in Secrets of their own (``_revisions``). The digest and
every shown hash are keyed with a random key stored beside them, so that neither helps to guess a secret.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import itertools
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from .._errors import ClusterError
from ..cluster._cluster import Cluster
from ..objects._applyset_parent import ApplySetAnnotations, hints
from ..objects._manifest import MANAGED_BY, Object, Ref, applyset_id, record_name

TOOLING = "llm-devops-memory-graph/v1"
TOOLING_ANNOTATION = "applyset.kubernetes.io/tooling"
RECORD_TYPE = "llm-devops.memory-graph/release.v1"
"""The type of records that we create; a Secret's type never changes, so a parent that was handed over keeps its own."""
HISTORY_LIMIT = 10
"""Revisions remembered, the current one among them."""


@dataclass(frozen=True)
class Member:
    """An object of a release, with the version it was applied in, which is needed to address it.

    ``stamp`` is a keyed digest of the manifest and of the fields we then owned, empty when that is not known.
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
class ReleaseRecord:
    """The record of a release. ``revision`` 0: never released. ``state``: pending, deployed, failed or uninstalled.

    An interrupted run leaves it pending. An uninstalled release has left members behind, data it was not told to
    delete. ``deployed_by`` is the user as the API server knows it, and the machine; ``description`` says more than
    "deployed", such as ``rollback to 3``. Its objects are in ``parts`` Secrets, 0 when they are not stored, of ``slot``
    (see :mod:`_revisions`).
    """

    name: str
    namespace: str
    revision: int = 0
    state: str = ""
    when: str = ""
    digest: str = ""
    members: tuple[Member, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    deployed_by: str = ""
    description: str = ""
    parts: int = 0
    slot: int = 0
    hints: ApplySetAnnotations = field(default=ApplySetAnnotations(), compare=False)
    record_type: str = field(default=RECORD_TYPE, compare=False)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def id(self) -> str:
        return applyset_id(self.name, self.namespace)

    @property
    def last_deployed(self) -> int:
        """The newest revision whose objects all became ready, 0 when none did."""
        return max((item["revision"] for item in self.revisions if item["state"] == "deployed"), default=0)

    @property
    def revisions(self) -> list[dict[str, Any]]:
        """All remembered revisions, the current one last: revision, state, when, who, note, digest, parts, slot."""
        return [*self.history, self.entry()] if self.revision else list(self.history)

    def entry(self) -> dict[str, Any]:
        """Return the current revision as an entry of the history."""
        return {"revision": self.revision, "state": self.state, "when": self.when, "who": self.deployed_by,
                "note": self.description, "digest": self.digest, "parts": self.parts, "slot": self.slot}  # fmt: skip

    def digest_of(self, content: bytes) -> str:
        return f"hmac-sha256:{hmac.new(self.key, content, hashlib.sha256).hexdigest()}"


def path(name: str, namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{record_name(name)}"


def read(cluster: Cluster, name: str, namespace: str) -> ReleaseRecord:
    """Return the record of the release, or an empty one.

    :raises ClusterError: when the Secret is another tool's or cannot be understood.
    """
    secret = cluster.find(path(name, namespace))
    return parsed(secret, name, namespace) if secret else ReleaseRecord(name, namespace)


def parsed(secret: Object, name: str, namespace: str) -> ReleaseRecord:
    """Return the record in a Secret; the pure half of :func:`read`."""
    location = f"Secret/{record_name(name)} in {namespace}"
    tooling = ((secret["metadata"].get("annotations")) or {}).get(TOOLING_ANNOTATION, "none")
    if tooling != TOOLING:
        raise ClusterError(
            f"{location} belongs to other tooling ({TOOLING_ANNOTATION}: {tooling})",
            f"give the release another name, or hand the set over: kubectl -n {namespace} annotate secret "
            f"{record_name(name)} --overwrite {TOOLING_ANNOTATION}={TOOLING}",
        )
    if "data" not in secret:  # handed over by tooling that keeps no record: its members are found by their label
        return ReleaseRecord(name, namespace, hints=hints(secret), record_type=str(secret.get("type", "Opaque")))
    try:
        data = json.loads(base64.b64decode(secret["data"]["release.json"]))
        return ReleaseRecord(
            name,
            namespace,
            int(data["revision"]),
            str(data["state"]),
            str(data["when"]),
            str(data["digest"]),
            tuple(_member(item) for item in data["objects"]),
            tuple(
                {"who": "", "note": "", "parts": 0, "slot": 0, **item, "revision": int(item["revision"])}
                for item in data["history"]
            ),
            str(data.get("who", "")),
            str(data.get("note", "")),
            int(data.get("parts", 0)),
            int(data.get("slot", 0)),
            hints(secret),
            str(secret.get("type", RECORD_TYPE)),
            base64.b64decode(secret["data"]["key"]),
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ClusterError(
            f"{location} is damaged and says nothing about the release: {error!r}",
            f"delete it; the next run adopts the objects again as revision 1 "
            f"(kubectl -n {namespace} delete secret {record_name(name)})",
        ) from error


def _member(item: dict[str, str]) -> Member:
    api_version = item["api_version"]
    identity = Ref(api_version.rpartition("/")[0], item["kind"], item["namespace"], item["name"])
    return Member(api_version, identity, item.get("stamp", ""))


def advanced(record: ReleaseRecord, revision: int, state: str, digest: str, members: Iterable[Member], *,
             deployed_by: str = "", description: str = "", parts: int = 0,
             limit: int = HISTORY_LIMIT) -> ReleaseRecord:  # fmt: skip
    """Return the record with a new current revision, the old one moved to its history.

    ``deployed_by``, ``description`` and ``parts`` belong to the revision: they are set when it is new, and then stay.
    """
    ordered = tuple(sorted(set(members), key=lambda item: item.ref))
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    if record.revision == revision:
        return replace(record, state=state, when=now, digest=digest, members=ordered)
    history = _bounded(record.revisions, limit - 1)
    used_slots = {item["slot"] for item in history}
    slot = next(number for number in itertools.count(1) if number not in used_slots)
    return replace(
        record, revision=revision, state=state, when=now, digest=digest, members=ordered, history=history,
        deployed_by=deployed_by,
        description=description, parts=parts, slot=slot,
    )  # fmt: skip


def _bounded(entries: list[dict[str, Any]], limit: int) -> tuple[dict[str, Any], ...]:
    """Return the newest entries, and the last that was deployed even when many failed since: rollbacks need it."""
    newest = entries[max(len(entries) - limit, 0) :]
    good = [item for item in entries if item["state"] == "deployed"][-1:]
    return (*(item for item in good if item not in newest), *newest)


def manifest(record: ReleaseRecord) -> Object:
    """Return the Secret that holds ``record``."""
    data = {
        "name": record.name,
        "revision": record.revision,
        "state": record.state,
        "when": record.when,
        "digest": record.digest,
        "objects": [{**item.as_dict(), "stamp": item.stamp} for item in record.members],
        "history": list(record.history),
        "who": record.deployed_by,
        "note": record.description,
        "parts": record.parts,
        "slot": record.slot,
    }
    kinds = {f"{item.ref.kind}.{item.ref.group}" if item.ref.group else item.ref.kind for item in record.members}
    namespaces = {item.ref.namespace for item in record.members} - {record.namespace, ""}
    annotations = {TOOLING_ANNOTATION: TOOLING, "applyset.kubernetes.io/contains-group-kinds": ",".join(sorted(kinds))}
    if namespaces:
        annotations["applyset.kubernetes.io/additional-namespaces"] = ",".join(sorted(namespaces))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": record.record_type,
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


def write(cluster: Cluster, record: ReleaseRecord) -> str:
    """Write the record, and return the UID of its Secret, which owns the stored revisions."""
    # forced: the record is ours alone, and nobody's edit of it can mean anything
    written, _created = cluster.apply(path(record.name, record.namespace), manifest(record), force=True)
    return str(written["metadata"]["uid"])
