# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A checksum of Secrets in the template of the pods that read them once, so that a changed one rolls the pods.

A workload names such Secrets in its annotation ``ROLL_ON``. Only the keys that its pods read count. The checksum is an
HMAC under the key of the release's record, which is a Secret of the cluster: the same for every run on every machine,
and of no use to guess a value with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .._errors import ApiError
from ..cluster._cluster import Cluster
from ..objects._manifest import Object, serialized
from ..objects._references import secrets_of

ROLL_ON = "memory-graph.llm-devops/roll-on-secrets"
CHECKSUM = "checksum/secrets"
HTTP_FORBIDDEN = 403
PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}


class SecretChecksums:
    """The checksums in the objects of one release. ``digest`` is an HMAC under its key."""

    def __init__(self, cluster: Cluster, objects: Iterable[Object], digest: Callable[[bytes], str]) -> None:
        self._cluster, self._objects, self._digest = cluster, list(objects), digest
        self._live: dict[tuple[str, str], Mapping[str, str] | None] = {}

    def set(self) -> list[str]:
        """Set them in place, and return a sentence for each Secret that may not be read.

        :raises ClusterError: when the cluster cannot be read.
        """
        notes: dict[str, None] = {}
        for item in self._objects:
            names = str((item["metadata"].get("annotations") or {}).get(ROLL_ON) or "")
            if names and item["kind"] in PLURALS and ((item.get("spec") or {}).get("template") or {}).get("spec"):
                notes.update(dict.fromkeys(self._set_one(item, sorted(set(names.split(","))))))
        return list(notes)

    def _set_one(self, item: Object, names: list[str]) -> Iterator[str]:
        template = item["spec"]["template"]
        namespace, keys = item["metadata"]["namespace"], secrets_of(template["spec"])
        content: dict[str, dict[str, str]] = {}
        refused = []
        for name in names:
            data = self._data(namespace, name)
            if data is None:
                refused.append(name)
            else:
                content[name] = {key: data[key] for key in sorted(keys.get(name) or data) if key in data}
        for name in refused:
            yield (
                f"Secret {name} in {namespace} may not be read, so {item['kind']}/{item['metadata']['name']} is not"
                " rolled when it changes: grant get on it, or restart the pods by hand"
            )
        value = (
            self._live_checksum(item) if refused else self._digest(serialized(content)) if any(content.values()) else ""
        )
        if value:
            template.setdefault("metadata", {}).setdefault("annotations", {})[CHECKSUM] = value

    def _data(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Return the data of a Secret in base64, empty where it does not exist, None where it may not be read."""
        key = (namespace, name)
        if key not in self._live:
            self._live[key] = self._released_data(*key) or self._read(*key)
        return self._live[key]

    def _released_data(self, namespace: str, name: str) -> Mapping[str, str]:
        """Return the data of a Secret among the release's own objects, which may not have been written yet."""
        for item in self._objects:
            metadata = item["metadata"]
            if (item["kind"], metadata.get("namespace"), metadata["name"]) == ("Secret", namespace, name):
                return item.get("data") or {}
        return {}

    def _read(self, namespace: str, name: str) -> Mapping[str, str] | None:
        try:
            live = self._cluster.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        except ApiError as error:
            if error.status != HTTP_FORBIDDEN:
                raise
            return None
        return (live or {}).get("data") or {}

    def _live_checksum(self, item: Object) -> str:
        """Return the checksum of the live template: who may read the Secret must not decide whether pods are rolled."""
        metadata = item["metadata"]
        path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/{PLURALS[item['kind']]}/{metadata['name']}"
        live: dict[str, Any] = self._cluster.find(path) or {}
        template = (live.get("spec") or {}).get("template") or {}
        return str(((template.get("metadata") or {}).get("annotations") or {}).get(CHECKSUM) or "")
