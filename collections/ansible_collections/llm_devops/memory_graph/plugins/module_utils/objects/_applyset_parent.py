# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The annotations of an ApplySet's parent, ours or kubectl's (KEP-3659). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ._manifest import Object

PREFIX = "applyset.kubernetes.io/"
ID_LABEL = f"{PREFIX}id"
TOOLING_ANNOTATION = f"{PREFIX}tooling"
KINDS_ANNOTATION = f"{PREFIX}contains-group-kinds"
RESOURCES_ANNOTATION = f"{PREFIX}contains-group-resources"
NAMESPACES_ANNOTATION = f"{PREFIX}additional-namespaces"


@dataclass(frozen=True)
class ApplySetAnnotations:
    """The kinds and namespaces in which a parent says that its members may be.

    ``kinds`` are ``Kind.group`` (``Kind`` alone in the core group). ``resources`` are ``plural.group``, from the
    annotation that kubectl 1.27 wrote before there was one of kinds; they count only where ``kinds`` are not given.
    """

    tooling: str = ""
    kinds: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()


def hints(parent: Object) -> ApplySetAnnotations:
    """Return the hints in a parent's annotations. The parent's own namespace always belongs to them. Pure."""
    metadata = parent["metadata"]
    annotations: dict[str, str] = metadata.get("annotations") or {}

    def listed(annotation: str) -> tuple[str, ...]:
        return tuple(sorted(item for item in (annotations.get(annotation) or "").split(",") if item))

    kinds = listed(KINDS_ANNOTATION)
    resources = () if KINDS_ANNOTATION in annotations else listed(RESOURCES_ANNOTATION)
    home = metadata.get("namespace") or ""
    namespaces = tuple(sorted({home, *listed(NAMESPACES_ANNOTATION)} - {""}))
    return ApplySetAnnotations(annotations.get(TOOLING_ANNOTATION, ""), kinds, resources, namespaces)
