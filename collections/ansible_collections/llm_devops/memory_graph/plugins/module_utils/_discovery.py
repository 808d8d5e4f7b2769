# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Which path an object lives at: the API server is asked once per group and version, and only for those in use."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from urllib.parse import quote

from ._cluster import Cluster
from ._errors import ApiError


@dataclass(frozen=True)
class Resource:
    """One row of the API server's discovery document."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    def collection(self, namespace: str | None) -> str:
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        return (
            f"{root}/namespaces/{quote(namespace)}/{self.plural}"
            if self.namespaced and namespace
            else f"{root}/{self.plural}"
        )

    def path(self, namespace: str | None, name: str) -> str:
        return f"{self.collection(namespace)}/{quote(name)}"


class Discovery:
    """Cached lookups; :meth:`forget` after a CustomResourceDefinition became established."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, dict[str, Resource]] = {}
        self._lock = threading.Lock()

    def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource, or None when the server does not serve the kind (its CRD is missing)."""
        with self._lock:
            if api_version not in self._known:
                self._known[api_version] = self._load(api_version)
            return self._known[api_version].get(kind)

    def forget(self) -> None:
        with self._lock:
            self._known = {version: kinds for version, kinds in self._known.items() if kinds}

    def _load(self, api_version: str) -> dict[str, Resource]:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            answer = self._cluster.request("GET", root)
        except ApiError as error:
            if error.status == 404:
                return {}
            raise
        return {
            row["kind"]: Resource(api_version, row["kind"], row["name"], row["namespaced"], frozenset(row["verbs"]))
            for row in answer.get("resources") or []
            if "/" not in row["name"]
        }
