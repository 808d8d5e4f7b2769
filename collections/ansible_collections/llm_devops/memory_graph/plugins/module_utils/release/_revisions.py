# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The objects of each revision, compressed, in Secrets ``<name>-release.slot<N>`` beside the record that owns them.

Slots are reused: their names are known beforehand, so a deployer need not be allowed to touch every Secret.

They carry no ApplySet label: they are no members, and pruning must not meet them.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

from .._errors import ClusterError
from ..cluster._cluster import Cluster
from ..objects._manifest import MANAGED_BY, Object, record_name
from ._history import ReleaseRecord
from ._redacted import StoredObject, to_stored

PART_BYTES = 900 * 1024
"""A Secret holds 1 MiB (kubernetes/kubernetes, ``MaxSecretSize``)."""
MAX_PARTS = 8
OWNER_LABEL = "memory-graph.llm-devops/revision-of"
REVISION = "memory-graph.llm-devops/revision"


def encoded(objects: list[Object], key: bytes) -> list[bytes]:
    """Return the objects as parts that each fit a Secret; none when they need more than eight. Pure."""
    content = json.dumps([to_stored(item, key).as_dict() for item in objects], separators=(",", ":"))
    packed = zlib.compress(content.encode())
    parts = [packed[start : start + PART_BYTES] for start in range(0, len(packed), PART_BYTES)]
    return parts if len(parts) <= MAX_PARTS else []


def decoded(parts: list[bytes]) -> list[StoredObject]:
    """Return the objects in parts: the inverse of :func:`encoded`. Pure.

    :raises ValueError: (and zlib.error, KeyError) when the parts are damaged.
    """
    items = json.loads(zlib.decompress(b"".join(parts)))
    return [StoredObject(item["manifest"], item.get("hashes")) for item in items]


def secret_name(release: str, slot: int, part: int) -> str:
    """Return ``demo-release.slot3``, and ``demo-release.slot3.2`` for a second part."""
    return f"{record_name(release)}.slot{slot}" + (f".{part}" if part > 1 else "")


def secret_names(release: str, objects: list[Object], limit: int) -> list[str]:
    """Return the names of all Secrets that store revisions like this one. Pure."""
    parts = max(len(encoded(objects, bytes(32))), 1)
    return [secret_name(release, slot, part) for slot in range(1, limit + 2) for part in range(1, parts + 1)]


def _path(record: ReleaseRecord, entry: dict[str, Any], part: int) -> str:
    name = secret_name(record.name, int(entry["slot"]), part)
    return f"/api/v1/namespaces/{record.namespace}/secrets/{name}"


def store(cluster: Cluster, record: ReleaseRecord, owner_uid: str, parts: list[bytes]) -> None:
    """Write the parts of the record's current revision.

    :raises ClusterError: when one could not be written; the revision is then not one to go back to.
    """
    for number, content in enumerate(parts, start=1):
        path = _path(record, record.entry(), number)
        cluster.apply(path, _manifest(record, owner_uid, number, content), force=True)


def _manifest(record: ReleaseRecord, owner_uid: str, part: int, content: bytes) -> Object:
    owner = {"apiVersion": "v1", "kind": "Secret", "name": record_name(record.name), "uid": owner_uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "llm-devops.memory-graph/revision.v1",
        "metadata": {
            "name": secret_name(record.name, record.slot, part),
            "namespace": record.namespace,
            "labels": {OWNER_LABEL: record.id, MANAGED_BY: "llm-devops-memory-graph"},
            "annotations": {REVISION: str(record.revision)},
            "ownerReferences": [owner],
        },
        "data": {"objects": base64.b64encode(content).decode()},
    }


def read(cluster: Cluster, record: ReleaseRecord, entry: dict[str, Any]) -> list[StoredObject] | None:
    """Return the objects of a remembered revision, None when they are not stored.

    :raises ClusterError: when they are damaged.
    """
    revision = int(entry["revision"])
    secrets = [cluster.find(_path(record, entry, part)) for part in range(1, int(entry["parts"]) + 1)]
    if not secrets or any(item is None or _revision_in(item) != revision for item in secrets):
        return None
    try:
        return decoded([base64.b64decode(item["data"]["objects"]) for item in secrets if item])
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        name = secret_name(record.name, int(entry["slot"]), 1)
        raise ClusterError(
            f"Secret/{name} in {record.namespace} is damaged: the objects of revision {revision} cannot be read",
            "choose another revision, or deploy the configuration that made it",
        ) from error


def _revision_in(secret: Object) -> int:
    """Return the revision whose objects are in the slot: the run that reused it may have ended before it wrote."""
    return int((secret["metadata"].get("annotations") or {}).get(REVISION, 0))


def forget(cluster: Cluster, record: ReleaseRecord, entries: list[dict[str, Any]]) -> None:
    """Delete the stored objects of these revisions."""
    for entry in entries:
        for part in range(1, int(entry["parts"]) + 1):
            cluster.delete(_path(record, entry, part))


def dropped(before: ReleaseRecord, after: ReleaseRecord) -> list[dict[str, Any]]:
    """Return the revisions that the new record does not remember. Pure."""
    remembered = {item["revision"] for item in after.revisions}
    return [item for item in before.revisions if item["revision"] not in remembered]
