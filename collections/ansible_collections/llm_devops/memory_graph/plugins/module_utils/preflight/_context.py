# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The context of a preflight check: the release, the cluster, and the findings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from .._errors import ApiError
from ..cluster._cluster import Cluster
from ..cluster._discovery import Discovery, Resource
from ..objects._manifest import Object
from ..release._history import HISTORY_LIMIT

T = TypeVar("T")
_MAY_NOT = re.compile(r" may not (.+)$")
Finding = dict[str, str]


@dataclass
class PreflightContext:
    """A release about to be made, and the cluster it is made in; nothing here writes.

    What may not be read is noted once and then counts as unknown: a check goes on with what it knows. ``absent`` are
    namespaces that do not exist yet, ``not_asked`` the workloads whose pods the API server has not judged.
    """

    cluster: Cluster
    release: str
    namespace: str
    objects: list[Object]
    discovery: Discovery
    history_limit: int = HISTORY_LIMIT
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    not_asked: set[str] = field(default_factory=set)
    check: str = ""
    _lists: dict[str, list[Object] | None] = field(default_factory=dict)

    def add_problem(self, message: str, way_out: str) -> None:
        self.problems.append({"check": self.check, "message": message, "way_out": way_out})

    def add_note(self, message: str) -> None:
        finding = {"check": self.check, "message": message}
        if finding not in self.notes:
            self.notes.append(finding)

    def of_kind(self, kind: str) -> list[Object]:
        return [item for item in self.objects if item["kind"] == kind]

    def read_list(self, path: str, subject: str, fields: str = "") -> list[Object] | None:
        """All objects of a collection, None when they may not be read (which is noted). Asked once for all checks."""
        key = f"{path}?{fields}"
        if key not in self._lists:
            self._lists[key] = self._read(lambda: list(self.cluster.list(path, fields=fields)), subject)
        return self._lists[key]

    def read(self, path: str, subject: str) -> Object | None:
        """The object at ``path``: empty when there is none, None when it may not be read (which is noted)."""
        return self._read(lambda: self.cluster.find(path) or {}, subject)

    def list_home(self, plural: str, subject: str) -> list[Object] | None:
        """All objects of a core resource in the release's namespace."""
        if self.namespace in self.absent:
            return []
        return self.read_list(f"/api/v1/namespaces/{self.namespace}/{plural}", subject)

    def served(self, api_version: str, kind: str) -> Resource | None:
        return self.discovery.find(api_version, kind)

    def _read(self, ask: Callable[[], T], subject: str) -> T | None:
        try:
            return ask()
        except ApiError as error:
            lacking = _MAY_NOT.search(error.message)
            if not lacking:
                self.add_note(f"{subject} could not be checked: {error.message}")
            elif not any(
                lacking[1] in finding["message"] for finding in self.notes
            ):  # the permissions were checked before
                self.add_note(f"{subject} could not be checked: you may not {lacking[1]}")
            return None
