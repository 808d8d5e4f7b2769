# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Manifests as a directory that kustomize, Argo CD and Flux read: a file each, and a list in the order of applying."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import ManifestError
from ..cluster._kubeconfig import yaml
from ..kinds._waves import split
from ._manifest import PART_OF, Ref, prepared, ref

LIST = "kustomization.yaml"
MARK = "# Written by llm_devops.memory_graph.manifest_files, which writes it anew: change it in an overlay.\n"


@dataclass(frozen=True)
class Change:
    """A file of a directory before and after; an empty text stands for no file."""

    name: str
    before: str
    after: str


def manifests(objects: Any, namespace: str) -> tuple[list[dict[str, Any]], list[Ref]]:
    """The manifests to write, in the order of applying, and the Secrets, which are left out: a file shows its values.

    :raises ManifestError: naming the position of the first malformed or repeated object.
    """
    written: list[dict[str, Any]] = []
    secrets: list[Ref] = []
    for manifest in (item for wave in split(prepared(objects, "", namespace), lambda item: item) for item in wave):
        del manifest["metadata"]["labels"][PART_OF]  # whoever applies the files keeps its own list of them
        if manifest["kind"] == "Secret":
            secrets.append(ref(manifest))
        else:
            written.append(manifest)
    return written, secrets


def texts(objects: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Text by file name, in the given order, the list of files last. Equal objects give equal bytes.

    :raises ManifestError: when two objects cannot have different file names.
    """
    objects = list(objects)
    names = file_names([ref(item) for item in objects])
    listed = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names}
    return {**{name: _text(item) for name, item in zip(names, objects, strict=True)}, LIST: _text(listed)}


def _text(value: Mapping[str, Any]) -> str:
    dumped: str = yaml.safe_dump(value, allow_unicode=True, default_flow_style=False, width=120)
    return MARK + dumped


def file_names(refs: list[Ref]) -> list[str]:
    """``kind-name.yaml``, which depends on no other object; with namespace and group only where that is ambiguous."""
    forms = [
        [f"{at.kind}-{at.name}" for at in refs],
        [f"{at.kind}-{at.namespace}-{at.name}" for at in refs],
        [f"{at.kind}.{at.group}-{at.namespace}-{at.name}" for at in refs],
    ]
    safe = [[re.sub(r"[^a-z0-9.-]", "_", form.lower()) + ".yaml" for form in level] for level in forms]
    often = [Counter(level) for level in safe]
    result = []
    for position, at in enumerate(refs):
        unique = [level[position] for level, count in zip(safe, often, strict=True) if count[level[position]] == 1]
        if not unique or unique[0] == LIST:
            raise ManifestError(f"{at} has the file name of another object", "rename one of them")
        result.append(unique[0])
    return result


def changes(folder: Path, texts_by_name: Mapping[str, str]) -> list[Change]:
    """Return the changes that make the folder hold these files: those to write, those of an earlier run to remove, the
    list last. A file that somebody else wrote is neither replaced nor removed.

    :raises ManifestError: when somebody else's file has the name of one of ours.
    :raises OSError: when the folder cannot be read.
    """
    present = {name: _read(folder / name) for name in texts_by_name}
    for name, before in present.items():
        if before and not before.startswith(MARK):
            raise ManifestError(
                f"{folder / name} was not written by this module", "move it away, or give another directory"
            )
    stale = {name: _read(folder / name) for name in _listed(present.get(LIST, "")) if name not in texts_by_name}
    written = [Change(name, present[name], text) for name, text in texts_by_name.items() if text != present[name]]
    removed = [Change(name, before, "") for name, before in stale.items() if before.startswith(MARK)]
    return sorted(written + removed, key=lambda change: change.name == LIST)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _listed(text: str) -> list[str]:
    try:
        names = (yaml.safe_load(text) or {}).get("resources") or []
    except (yaml.YAMLError, AttributeError) as error:
        raise ManifestError(f"{LIST} of an earlier run cannot be read", "delete it") from error
    return [name for name in names if isinstance(name, str) and Path(name).name == name]


def write(folder: Path, changes_to_make: Iterable[Change]) -> None:
    """Make these changes, each file whole or not at all.

    :raises OSError: when the file system refuses.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for change in changes_to_make:
        file = folder / change.name
        if not change.after:
            file.unlink(missing_ok=True)
            continue
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".", delete=False, encoding="utf-8") as stream:
            stream.write(change.after)
        part = Path(stream.name)
        part.chmod(0o644)
        part.replace(file)
