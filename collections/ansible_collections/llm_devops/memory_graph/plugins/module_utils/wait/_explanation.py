# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The explanation of a failure: the end of a log, events, and the way out when the time ran out."""

from __future__ import annotations

from .._errors import ClusterError
from .._json import text
from ..cluster._cluster import Cluster
from ..kinds._kinds import row
from ..kinds._problem import one_line
from ..objects._manifest import Object, Ref

LOG_LINES = 10


def log_of(cluster: Cluster, pod: Object, container: str, *, previous: bool) -> list[str]:
    """Return the last lines of a container's log."""
    path = f"/api/v1/namespaces/{text(pod, 'metadata', 'namespace')}/pods/{text(pod, 'metadata', 'name')}/log"
    try:
        query = {"container": container, "tailLines": LOG_LINES, "previous": str(previous).lower()}
        lines = cluster.text(path, query)
    except ClusterError as error:  # the log is extra; without the right to read it the reason still stands
        lines = f"(log not readable: {error.message})"
    return [entry[:300] for entry in lines.splitlines()]


def event_line(event: Object) -> str:
    about = f"{text(event, 'involvedObject', 'kind')}/{text(event, 'involvedObject', 'name')}"
    return f"{text(event, 'reason')} {about}: {one_line(text(event, 'message'))}"


def too_late(ref: Ref, reason: str) -> tuple[str, str]:
    """Return why, and the way out, when the time ran out on an object that may still become ready."""
    namespace = f" -n {ref.namespace}" if ref.namespace else ""
    describe = f"kubectl{namespace} describe {ref.kind.lower()} {ref.name}"
    return row(ref.group, ref.kind).late(ref.kind, reason, describe)
