# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Fields that cannot change once an object exists: the API server's 422 as one sentence with the way out. Pure."""

from __future__ import annotations

import re
from typing import Any

from .._errors import ApiError, ClusterError
from ..objects import _quantity
from ..objects._manifest import PART_OF, Object
from ._step import Step

_UNCHANGEABLE = re.compile(r"immutable|may not change|cannot change|can't be changed|are forbidden|less than")
_QUOTED = re.compile(r"'([^']+)'")
_RECREATED = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})


def explained(step: Step) -> ClusterError | None:
    """Return the sentence for a refusal that is about an unchangeable field, None for any other error."""
    error = step.error
    if not isinstance(error, ApiError) or error.status != 422 or step.live is None:
        return None
    causes = [cause for cause in error.causes if _UNCHANGEABLE.search(str(cause.get("message", "")))]
    if not causes:
        return None
    if step.ref.kind == "PersistentVolumeClaim":
        return shrunk(step.manifest, step.live) or _claim(step)
    fields = [name for cause in causes for name in _fields_of(step, cause)]
    named = ", ".join(dict.fromkeys(fields))
    return ClusterError(f"{step.ref} exists{_managers(step)}, and its {named} cannot change", _way_out(step))


def _managers(step: Step) -> str:
    """Return a clause that names the managers of an object that is not of this release."""
    metadata = (step.live or {}).get("metadata") or {}
    part_of = (metadata.get("labels") or {}).get(PART_OF)
    if "managedFields" not in metadata or part_of == (step.manifest["metadata"].get("labels") or {}).get(PART_OF):
        return ""
    entries = metadata.get("managedFields") or []
    makers = sorted({str(entry.get("manager")) for entry in entries if not entry.get("subresource")})
    return f" and is not of this release but of {', '.join(makers)}"


def shrunk(manifest: Object, live: Object) -> ClusterError | None:
    """Return the refusal of a claim that asks for less than it has."""
    name = f"PersistentVolumeClaim/{manifest['metadata']['name']}"
    requested = _storage((manifest.get("spec") or {}).get("resources"), "requests")
    present = max(
        (_storage((live.get("spec") or {}).get("resources"), "requests"), _storage(live.get("status"), "capacity")),
        key=_quantity.parse,
    )
    if _quantity.parse(requested) >= _quantity.parse(present):
        return None
    return ClusterError(
        f"{name} has {present} and cannot shrink to {requested}: a volume only grows",
        f"ask for {present} and deploy; a smaller volume takes a new claim, into which the data is restored",
    )


def _storage(part: dict[str, Any] | None, key: str) -> str:
    return str(((part or {}).get(key) or {}).get("storage") or "0")


def _claim(step: Step) -> ClusterError:
    spec, live = step.manifest.get("spec") or {}, (step.live or {}).get("spec") or {}
    fields = [f"spec.{name}" for name in spec if name != "resources" and not _within(spec[name], live.get(name))]
    return ClusterError(
        f"{step.ref} exists, and its {', '.join(fields) or 'spec'} cannot change; only its size can, upwards",
        "keep what it has; another class or access mode takes a new claim, into which the data is restored",
    )


def _fields_of(step: Step, cause: dict[str, Any]) -> list[str]:
    """Return the path that the server names; of a StatefulSet, where it names fields that could change, the others."""
    path = str(cause.get("field") or "")
    allowed = set(_QUOTED.findall(str(cause.get("message", ""))))
    spec, live = step.manifest.get("spec") or {}, (step.live or {}).get("spec") or {}
    if path != "spec" or not allowed:
        return [path or "content"]
    return [f"spec.{name}" for name in spec if name not in allowed and not _within(spec[name], live.get(name))]


def _within(manifest: Any, live: Any) -> bool:
    """Whether the live value has all of the manifest's; the server adds defaults and writes quantities otherwise."""
    if isinstance(manifest, dict) and isinstance(live, dict):
        return all(_within(value, live.get(key)) for key, value in manifest.items())
    if isinstance(manifest, list) and isinstance(live, list):
        return len(manifest) == len(live) and all(_within(*pair) for pair in zip(manifest, live, strict=True))
    return bool(manifest == live) or str(manifest) == str(live)


def _way_out(step: Step) -> str:
    ref = step.ref
    where = f" -n {ref.namespace}" if ref.namespace else ""
    orphan = " --cascade=orphan" if ref.kind in _RECREATED - {"Job"} else ""
    keeps = "; its pods go on meanwhile" if orphan else ""
    return (
        f"keep the present value, give the object another name, or delete it and run again{keeps} "
        f"(kubectl{where} delete {ref.kind.lower()} {ref.name}{orphan})"
    )
