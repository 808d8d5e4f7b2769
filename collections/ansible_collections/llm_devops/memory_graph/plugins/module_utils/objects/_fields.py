# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Owned fields: read ``metadata.managedFields`` (FieldsV1, KEP-555) and cut an object down to them. Pure."""

from __future__ import annotations

import copy
import json
from typing import Any

from .._json import mapping, mappings

Fields = dict[str, Any]


def owned(obj: dict[str, Any] | None, manager: str) -> Fields:
    """The field set ``manager`` holds through server-side apply; empty when it holds none."""
    for entry in mappings(obj, "metadata", "managedFields"):
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return mapping(entry, "fieldsV1")
    return {}


def union(fields: Fields, others: Fields) -> Fields:
    """Both field sets together. A leaf owns its whole value, so it swallows deeper paths of the other side."""
    result = dict(fields)
    for key, below in others.items():
        if key not in result:
            result[key] = below
        elif result[key] and below:
            result[key] = union(result[key], below)
        else:
            result[key] = {}
    return result


def project(value: Any, fields: Fields) -> Any:
    """The part of ``value`` that ``fields`` names, in the order of ``value``."""
    if not fields:
        return value
    if isinstance(value, dict):
        return {key: project(item, fields[f"f:{key}"]) for key, item in value.items() if f"f:{key}" in fields}
    if isinstance(value, list):
        return _project_list(value, fields)
    return value


def _project_list(items: list[Any], fields: Fields) -> list[Any]:
    keyed = [(json.loads(key[2:]), below) for key, below in fields.items() if key.startswith("k:")]
    values = [json.loads(key[2:]) for key in fields if key.startswith("v:")]
    result = []
    for index, item in enumerate(items):
        if item in values or f"i:{index}" in fields:
            result.append(item)
            continue
        for key, below in keyed:
            if isinstance(item, dict) and all(item.get(name) == expected for name, expected in key.items()):
                result.append({**key, **project(item, below)} if set(below) - {"."} else key)
                break
    return result


def step(path: str, name: str) -> str:
    """A path one field further: ``spec.replicas``, ``metadata.labels[app.kubernetes.io/name]``, ``env[NAME]``."""
    kind, _colon, rest = name.partition(":")
    if kind == "k":  # an item of a list, by its key fields
        rest = ",".join(str(value) for value in json.loads(rest).values())
    dotted = kind == "f" and not ("." in rest or "/" in rest)
    return (f"{path}.{rest}" if path else rest) if dotted else f"{path}[{rest}]"


def picked(value: Any, name: str) -> Any:
    """Return one field or item of ``value``; None where it is not there."""
    kind, _colon, rest = name.partition(":")
    if kind == "f":
        return value.get(rest) if isinstance(value, dict) else None
    sought: Any = json.loads(rest) if kind in ("k", "v") else None
    for item in value if isinstance(value, list) else ():
        if item == sought or (kind == "k" and isinstance(item, dict) and sought.items() <= item.items()):
            return item
    return None


def visible(obj: dict[str, Any] | None, fields: Fields) -> dict[str, Any] | None:
    """``obj`` reduced to identity and owned fields: what a diff may show and ``changed`` may depend on."""
    if obj is None:
        return None
    metadata = {key: obj["metadata"][key] for key in ("name", "namespace") if obj["metadata"].get(key)}
    part = project({key: value for key, value in obj.items() if key != "status"}, fields) if fields else {}
    metadata.update(part.get("metadata") or {})
    return {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), **part, "metadata": metadata}


def joined(first: Fields, second: Fields) -> Fields:
    """Return the union of both sets as ``managedFields`` writes it, where ``.`` stands for the field itself. Pure."""

    def of_both(fields: Fields, others: Fields) -> Fields:
        if fields and others:
            return joined(fields, others)
        return {".": {}, **fields, **others} if fields or others else {}

    return {**first, **second, **{key: of_both(first[key], second[key]) for key in first if key in second}}


def difference(fields: Fields, retained: Fields) -> Fields:
    """Return the fields of the first set that are not in the second. Pure."""
    result = {}
    for key, below in fields.items():
        if key not in retained:
            result[key] = below
        elif below and retained[key]:
            rest = difference({name: more for name, more in below.items() if name != "."}, retained[key])
            if rest:
                result[key] = rest
    return result


def without(obj: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """Return ``obj`` as it will be once these fields are gone. Pure."""
    result: dict[str, Any] = _cut(copy.deepcopy(obj), fields)
    return result


def _cut(value: Any, fields: Fields) -> Any:
    if isinstance(value, dict):
        for key, below in fields.items():
            name = key.removeprefix("f:")
            if key.startswith("f:") and name in value:
                deeper = set(below) - {"."}
                value[name] = _cut(value[name], below) if deeper else None
                if value[name] in (None, {}, []):
                    del value[name]
    elif isinstance(value, list):
        return [item for item in (_cut_item(item, fields) for item in value) if item is not None]
    return value


def _cut_item(item: Any, fields: Fields) -> Any:
    """Return an item of a list without these fields, None when the item itself goes."""
    for key, below in fields.items():
        kind, _colon, rest = key.partition(":")
        if kind == "v" and json.loads(rest) == item:
            return None
        if kind == "k" and isinstance(item, dict) and json.loads(rest).items() <= item.items():
            return None if "." in below else _cut(item, below)
    return item
