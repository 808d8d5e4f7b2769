# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The order in which kinds are applied. Within a wave, order is free and applying is parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from .._errors import ManifestError
from .._json import text
from ._kinds import FIRST, kind_of

T = TypeVar("T")
ANNOTATION = "memory-graph.llm-devops/wave"


def wave_of(manifest: Mapping[str, Any]) -> int:
    """Return the number in the object's wave annotation, else the wave of its kind.

    :raises ManifestError: when the annotation is not an integer.
    """
    annotation = (manifest["metadata"].get("annotations") or {}).get(ANNOTATION)
    if annotation is None:
        return kind_of(manifest).wave
    try:
        return int(annotation)
    except (TypeError, ValueError) as error:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        raise ManifestError(
            f"{name}: annotation {ANNOTATION} is {annotation!r}", 'write an integer in quotes, as in "5"'
        ) from error


def is_foundation(manifest: Mapping[str, Any]) -> bool:
    """Whether the object must be ready before others can be applied at all: a namespace or a new kind."""
    return kind_of(manifest).wave == FIRST


def split(items: Iterable[T], manifest: Callable[[T], Mapping[str, Any]]) -> list[list[T]]:
    """Return the items in waves, the lowest number first, each wave in the given order."""
    waves: dict[int, list[T]] = {}
    for item in items:
        waves.setdefault(wave_of(manifest(item)), []).append(item)
    return [waves[number] for number in sorted(waves)]


def stages(manifests: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the objects' kinds in a person's words, each word once, in the order of the waves."""
    ordered = sorted(manifests, key=lambda manifest: kind_of(manifest).wave)
    return list(dict.fromkeys(kind_of(manifest).stage or text(manifest, "kind") for manifest in ordered))
