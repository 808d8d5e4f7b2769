# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Discovery of resources: the paths of objects, read once for each group and version that is in use."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from .._errors import ApiError
from ._cluster import Cluster


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


def by_name(resource: Resource) -> bool:
    """Whether planning reads such objects one by one."""
    return not resource.namespaced or (resource.group, resource.plural) == ("", "secrets")


class Discovery:
    """Cached lookups; :meth:`forget` after a CustomResourceDefinition became established."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._kinds: dict[str, dict[str, Resource]] = {}
        self._versions: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def find(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource, or None when the server does not serve the kind (its CRD is missing)."""
        with self._lock:
            if api_version not in self._kinds:
                self._kinds[api_version] = self._load(api_version)
            return self._kinds[api_version].get(kind)

    def reach(self, group: str, kind: str, preferred: str = "") -> Resource | None:
        """Return the resource in any served version: the one preferred, else the one the group prefers.

        An object is of its group and kind, whatever version it was applied in (KEP-3659); None when none is served.
        """
        preferred_resource = self.find(preferred, kind) if preferred else None
        others = (self.find(version, kind) for version in self.versions(group))
        return preferred_resource or next((resource for resource in others if resource), None)

    def named(self, group_resource: str) -> Resource | None:
        """Return the resource of a plural, ``deployments.apps``, in any served version."""
        plural, _dot, group = group_resource.partition(".")
        for version in self.versions(group):
            self.find(version, "")
            matches = (resource for resource in self._kinds[version].values() if resource.plural == plural)
            resource = next(matches, None)
            if resource:
                return resource
        return None

    def versions(self, group: str) -> list[str]:
        """Return all served versions of a group, the preferred one first."""
        with self._lock:
            if group not in self._versions:
                self._versions[group] = self._load_versions(group) if group else ["v1"]
            return self._versions[group]

    def serving(self, group: str, kind: str) -> list[str]:
        """Return the versions in which a kind is served, the preferred one first."""
        return [version for version in self.versions(group) if self.find(version, kind)]

    def forget(self, groups: Iterable[str] = ()) -> None:
        """Forget the kinds that were not served, and all of these groups, to read them again."""
        changed = set(groups)
        with self._lock:
            self._kinds = {
                version: kinds for version, kinds in self._kinds.items()
                if kinds and version.rpartition("/")[0] not in changed
            }  # fmt: skip
            self._versions = {
                group: versions for group, versions in self._versions.items() if versions and group not in changed
            }

    def _load_versions(self, group: str) -> list[str]:
        try:
            group_document = self._cluster.request("GET", f"/apis/{group}")
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        preferred = (group_document.get("preferredVersion") or {}).get("groupVersion")
        versions = [item["groupVersion"] for item in group_document.get("versions") or []]
        return sorted(versions, key=lambda version: version != preferred)

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
