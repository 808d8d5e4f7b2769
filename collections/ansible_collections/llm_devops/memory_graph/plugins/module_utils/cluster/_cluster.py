# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The objects of an API server, one or many, read, applied and deleted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .._errors import ApiError
from .._json import mappings, text
from ._kubeconfig import access
from ._transport import APPLY_PATCH, FIELD_MANAGER, JSON, Object, Transport

METADATA_ONLY = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MAX_NAMES = 5_000
__all__ = ["FIELD_MANAGER", "Cluster", "connect", "in_parallel"]
T = TypeVar("T")
R = TypeVar("R")


class Cluster(Transport):
    """The objects of one cluster."""

    def list(self, path: str, selector: str = "", fields: str = "") -> Iterator[Object]:
        """Yield every object under ``path``, read in pages of 500, with kind and apiVersion, which lists omit."""
        query: dict[str, Any] = {"limit": 500}
        if selector:
            query["labelSelector"] = selector
        if fields:
            query["fieldSelector"] = fields
        while True:
            page = self.request("GET", path, query)
            kind = str(page.get("kind", "")).removesuffix("List")
            for item in page.get("items") or []:
                yield {"apiVersion": page.get("apiVersion"), "kind": kind, **item}
            query["continue"] = (page.get("metadata") or {}).get("continue")
            if not query["continue"]:
                return

    def names(self, path: str) -> set[str] | None:
        """Return the names of all objects under ``path``, read without these; None when there are more than 5,000."""
        query: dict[str, Any] = {"limit": 500}
        names: set[str] = set()
        while len(names) <= MAX_NAMES:
            page = self._decoded("GET", path, self._send("GET", path, query, None, "", False, METADATA_ONLY))
            names |= {text(item, "metadata", "name") for item in mappings(page, "items")}
            query["continue"] = text(page, "metadata", "continue")
            if not query["continue"]:
                return names
        return None

    def find(self, path: str) -> Object | None:
        """Return the object at ``path``, or None when there is none."""
        try:
            return dict(self.request("GET", path))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def apply(self, path: str, manifest: Object, *, dry_run: bool = False, force: bool = False) -> tuple[Object, bool]:
        """Server-side apply (KEP-555); returns the resulting object and whether it was created."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        response = self._send("PATCH", path, query, manifest, APPLY_PATCH, stream=False)
        return self._decoded("PATCH", path, response), response.status == 201

    def delete(self, path: str, uid: str | None = None, *, dry_run: bool = False) -> Object:
        """Delete in the background; already gone is fine, another object of the same name is left alone.

        Return the object where finalizers, or its grace period, hold it; else anything.
        """
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            return dict(self.request("DELETE", path, {"dryRun": "All"} if dry_run else None, body))
        except ApiError as error:
            if (error.status == 404 and not error.unserved) or (error.status == 409 and _settled(error)):
                return {}
            raise


def _settled(error: ApiError) -> bool:
    """Whether a delete's 409 says that there is nothing to do: it is another object, or a namespace on its way out."""
    return "precondition" in error.message or "ensuring all content is removed" in error.message


def connect(options: Mapping[str, Any]) -> Cluster:
    """Open a :class:`Cluster` from a module's auth options and the environment."""
    return Cluster(access(options, os.environ))


def in_parallel(work: Callable[[T], R], items: Iterable[T], parallelism: int) -> list[R]:
    """Run ``work`` on every item with at most ``parallelism`` threads, and return the results in the items' order."""
    todo = list(items)
    if len(todo) <= 1 or parallelism <= 1:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(max_workers=min(parallelism, len(todo))) as pool:
        return list(pool.map(work, todo))
