# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The owner of an object, and fields whose ownership we take over or that nobody has.

Server-side apply removes what its manager applied before and leaves out now. What client-side ``kubectl apply`` or Helm
applied is owned by them as an update, so it would stay for ever. kubectl, Flux and Helm 4 hand such fields over by
rewriting ``managedFields`` (client-go, ``csaupgrade``); so do we, just before the first apply, and the plan shows what
goes with it. In the same way goes a default of the server that a new value forbids, such as ``rollingUpdate`` once the
strategy is ``Recreate``: nobody owns it, and no apply could take it away.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Iterable, Iterator
from typing import Any

from .._errors import ApiError, ClusterError
from ..cluster._cluster import FIELD_MANAGER, Cluster
from . import _fields
from ._applyset_parent import ID_LABEL
from ._fields import Fields
from ._manifest import MANAGED_BY, PART_OF, Object, Ref

CLIENT_SIDE_APPLY = "kubectl-client-side-apply"
HELM_RELEASE, HELM_NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
LAST_APPLIED = "f:kubectl.kubernetes.io/last-applied-configuration"
MAX_TRIES = 5
Entry = dict[str, Any]


def release_of(cluster: Cluster, live: Object | None, applyset: str) -> str:
    """The name of the other release that has the object; empty when its record is not found or may not be read."""
    metadata = (live or {}).get("metadata") or {}
    owner = (metadata.get("labels") or {}).get(PART_OF)
    if not owner or owner == applyset or not metadata.get("namespace"):
        return ""
    try:
        records = list(cluster.list(f"/api/v1/namespaces/{metadata['namespace']}/secrets", f"{ID_LABEL}={owner}"))
    except ApiError:
        return ""
    return next((str(record["metadata"]["name"]).removesuffix("-release") for record in records), "")


def refusal(ref: Ref, live: Object | None, applyset: str, *, force: bool, other: str = "") -> ClusterError | None:
    """Why an object that exists is not ours to apply; ``other`` is the name of the release that has it. Pure."""
    metadata = (live or {}).get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    owner = labels.get(PART_OF)
    if owner and owner != applyset:
        named = f", {other!r}" if other else ""
        return ClusterError(
            f"{ref} in {ref.namespace or 'the cluster'} belongs to another release{named} ({PART_OF}: {owner})",
            "rename the object, or remove that label by hand to hand it over",
        )
    helm = annotations.get(HELM_RELEASE) or ("?" if labels.get(MANAGED_BY) == "Helm" else "")
    if owner or not helm or force:
        return None
    named = f"release {helm!r} in {annotations.get(HELM_NAMESPACE) or ref.namespace}" if helm != "?" else "a release"
    return ClusterError(
        f"{ref} in {ref.namespace or 'the cluster'} belongs to {named} of Helm",
        "rename the object, or take it over with force_conflicts: true; Helm must then not upgrade or uninstall it",
    )


def taken_from(live: Object | None) -> str:
    """``Helm's release 'x'`` or ``client-side kubectl apply``, for what is about to be handed over. Pure."""
    metadata = (live or {}).get("metadata") or {}
    helm = (metadata.get("annotations") or {}).get(HELM_RELEASE)
    return f"Helm's release {helm!r}" if helm else "client-side kubectl apply"


def _entries(live: Object | None) -> list[Entry]:
    return [entry for entry in ((live or {}).get("metadata") or {}).get("managedFields") or []
            if isinstance(entry, dict)]  # fmt: skip


def _handed_over(entry: Entry, *, helm: bool) -> bool:
    """Whether an entry is of a tool that applies, and not of somebody who edits."""
    if entry.get("subresource") or entry.get("manager") == FIELD_MANAGER:
        return False
    if helm and entry.get("manager") == "helm":
        return True
    metadata = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
    kubectls = entry.get("manager") == CLIENT_SIDE_APPLY or LAST_APPLIED in (metadata.get("f:annotations") or {})
    return entry.get("operation") == "Update" and kubectls


def inherited(live: Object | None, applyset: str, *, force: bool) -> Fields:
    """The fields that become ours with the object: as it is adopted, or by force. Pure."""
    metadata = (live or {}).get("metadata") or {}
    if (metadata.get("labels") or {}).get(PART_OF) == applyset and not force:
        return {}
    helm = HELM_RELEASE in (metadata.get("annotations") or {})
    result: Fields = {}
    for entry in _entries(live):
        if _handed_over(entry, helm=helm):
            result = _fields.joined(result, entry.get("fieldsV1") or {})
    return result


def goes(live: Object, after: Object, fields: Fields) -> Fields:
    """Return the inherited fields that go: not applied by us, and no other manager's. Pure."""
    retained = _fields.owned(after, FIELD_MANAGER)
    for entry in others(live, fields):
        retained = _fields.joined(retained, entry.get("fieldsV1") or {})
    return _fields.difference(fields, retained)


def others(live: Object, inherits: Fields) -> Iterator[Entry]:
    """Yield the entries of managers that keep their fields."""
    helm = HELM_RELEASE in (live["metadata"].get("annotations") or {})
    for entry in _entries(live):
        if entry.get("manager") != FIELD_MANAGER and not (inherits and _handed_over(entry, helm=helm)):
            yield entry


def forbidden_defaults(error: ApiError, manifest: Object, live: Object, inherits: Fields) -> list[tuple[str, ...]]:
    """Paths the refusal names that live, that the manifest leaves out, and that nobody else owns. Pure."""
    theirs = [entry.get("fieldsV1") or {} for entry in others(live, inherits)]
    paths = []
    for cause in error.causes:
        path = tuple(str(cause.get("field") or "").split("."))
        if any("[" in step for step in path) or _at(live, path) is None or _at(manifest, path) is not None:
            continue
        if not any(_owns(fields, path) for fields in theirs):
            paths.append(path)
    return paths


def _at(value: Any, path: Iterable[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _owns(fields: Fields, path: Iterable[str]) -> bool:
    for step in path:
        if f"f:{step}" not in fields:
            return False
        fields = fields[f"f:{step}"]
    return True


def preview(cluster: Cluster, url: str, manifest: Object, removed: Fields, owned: Fields) -> Object:
    """The object as it will be once it is applied and ``removed`` fields are gone, by a dry run of a strategic merge.

    Other than a dry run of the apply, that can take away what we do not own yet. ``owned`` is what we will own.

    :raises ApiError: as the API server refuses that, too; 415 where the kind knows no strategic merge.
    """
    body = copy.deepcopy(manifest)
    _take_away(body, removed)
    query = {"fieldManager": FIELD_MANAGER, "dryRun": "All"}
    after: Object = cluster.request("PATCH", url, query, body, "application/strategic-merge-patch+json")
    for entry in _entries(after):
        if (entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, "Update") and not entry.get("subresource"):
            owned = _fields.joined(owned, entry.get("fieldsV1") or {})
    after["metadata"]["managedFields"] = [_entry(str(manifest["apiVersion"]), owned)]
    return after


def _take_away(body: Object, fields: Fields) -> None:
    """Write into a strategic merge that these fields go."""
    for key, below in fields.items():
        name = key.removeprefix("f:")
        if not key.startswith("f:"):
            continue
        inner = set(below) - {"."}
        if not inner or "." in below:
            body[name] = None
        elif any(item.startswith("v:") for item in inner):
            body[f"$deleteFromPrimitiveList/{name}"] = [json.loads(item[2:]) for item in inner]
        elif any(item.startswith("k:") for item in inner):
            _take_away_items(body.setdefault(name, []), below)
        else:
            _take_away(body.setdefault(name, {}), below)


def _take_away_items(items: list[Any], fields: Fields) -> None:
    for key, below in fields.items():
        if not key.startswith("k:"):
            continue
        named = json.loads(key[2:])
        if "." in below:
            items.append({**named, "$patch": "delete"})
            continue
        item = next((entry for entry in items if isinstance(entry, dict) and named.items() <= entry.items()), None)
        if item is None:
            item = dict(named)
            items.append(item)
        _take_away(item, below)


def field_set(live: Object, paths: Iterable[tuple[str, ...]]) -> Fields:
    """The values at ``paths`` as a field set. Pure."""
    result: Fields = {}
    for path in paths:
        fields = _all_of(_at(live, path))
        for step in reversed(path):
            fields = {f"f:{step}": fields}
        result = _fields.joined(result, fields)
    return result


def _all_of(value: Any) -> Fields:
    return {".": {}, **{f"f:{key}": _all_of(item) for key, item in value.items()}} if isinstance(value, dict) else {}


def _entry(api_version: str, fields: Fields) -> Entry:
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": api_version, "time": now,
            "fieldsType": "FieldsV1", "fieldsV1": fields}  # fmt: skip


def rewritten(live: Object, api_version: str, inherits: Fields, unowned: Fields) -> list[Entry]:
    """``managedFields`` with what comes to us in our own entry. Pure."""
    helm = HELM_RELEASE in (live["metadata"].get("annotations") or {})
    rest, ours = [], _entry(api_version, {})
    for entry in _entries(live):
        identity = (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "")
        if identity == (FIELD_MANAGER, "Apply", ""):
            ours = copy.deepcopy(entry)
        elif not (inherits and _handed_over(entry, helm=helm)):
            rest.append(entry)
    for fields in (inherits, unowned):
        ours["fieldsV1"] = _fields.joined(ours["fieldsV1"], fields)
    return [*rest, ours]


def take(cluster: Cluster, url: str, inherits: Fields, unowned: Fields) -> None:
    """Make the fields ours. Nothing of the object changes but who owns what.

    :raises ApiError: when the API server refuses, or somebody writes the object again and again.
    """
    for tries_left in reversed(range(MAX_TRIES)):
        live = cluster.find(url)
        if live is None:
            return
        metadata = live["metadata"]
        patch = [
            {"op": "replace", "path": "/metadata/managedFields",
             "value": rewritten(live, str(live["apiVersion"]), inherits, unowned)},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        ]  # fmt: skip
        try:
            cluster.request("PATCH", url, {"fieldManager": FIELD_MANAGER}, patch, "application/json-patch+json")
        except ApiError as error:
            if error.status != 409 or not tries_left:
                raise
        else:
            return
