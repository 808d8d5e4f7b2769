# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A step of a release: one object, from its manifest to the cluster."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .._errors import ClusterError
from ..cluster._cluster import FIELD_MANAGER
from ..cluster._discovery import Resource
from ..objects import _fields
from ..objects._diff import changes
from ..objects._manifest import Object, Ref, serialized
from ._history import ReleaseRecord


@dataclass
class Step:
    """One object of a release. ``action``: created, configured, unchanged; ``after`` is the API server's answer.

    ``assumed``: it got no dry run, because an equivalent one did. ``inherits`` are fields that come to us from a tool
    that applied the object before, ``unowned`` defaults of the server that have to go (:mod:`_ownership`).
    """

    manifest: Object
    ref: Ref
    resource: Resource | None = None
    live: Object | None = None
    after: Object | None = None
    action: str = "created"
    remark: str = ""
    error: ClusterError | None = None
    visible_before: Object | None = None
    visible_after: Object | None = None
    assumed: bool = False
    inherits: _fields.Fields = field(default_factory=dict)
    unowned: _fields.Fields = field(default_factory=dict)

    @property
    def due(self) -> bool:
        """Whether it is to be sent: it differs, or could not be compared."""
        return self.action != "unchanged" or bool(self.remark)

    @property
    def path(self) -> str:
        if self.resource is None:
            raise unknown_kind(self)
        return self.resource.path(self.ref.namespace, self.ref.name)

    def stamp(self, record: ReleaseRecord) -> str:
        """Return a digest of the manifest and of our fields in the answer, which the next plan recognises."""
        if self.after is None or self.error:
            return ""
        return stamp(record, self.manifest, self.after)

    def compare(self) -> None:
        """Set the action by comparing ``live`` with ``after`` in the fields that we own in either."""
        fields = _fields.union(_fields.owned(self.live, FIELD_MANAGER), _fields.owned(self.after, FIELD_MANAGER))
        for more in (self.inherits, self.unowned):
            fields = _fields.union(fields, more) if fields else more
        self.visible_before = _fields.visible(self.live, fields)
        self.visible_after = _fields.visible(self.after, fields) if self.after else self.manifest
        if self.live is None:
            self.action = "created"
            return
        self.action = "configured" if changes(self.visible_before, self.visible_after) else "unchanged"


def stamp(record: ReleaseRecord, manifest: Object, live: Object) -> str:
    """Return a keyed digest of a manifest and of the fields we own in ``live``, with their values."""
    return record.digest_of(serialized([manifest, _fields.visible(live, _fields.owned(live, FIELD_MANAGER))]))


def unknown_kind(step: Step, served: Iterable[str] = ()) -> ClusterError:
    way_out = "install its CustomResourceDefinition first, or leave the object out"
    if served:
        way_out = f"it is served as {', '.join(served)}: write the object so"
    return ClusterError(f"the cluster does not know {step.ref.kind} of {step.manifest['apiVersion']}", way_out)
