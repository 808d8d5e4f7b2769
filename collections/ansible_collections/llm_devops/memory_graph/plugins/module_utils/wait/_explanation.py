# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What a failure is told with: the end of a log, events, and the way out when the time ran out."""

from __future__ import annotations

from .._errors import ClusterError
from .._json import text
from ..cluster._cluster import Cluster
from ..objects._manifest import Object, Ref
from ._diagnose import one_line
from ._predicates import UNSEEN

LOG_LINES = 10


def log_of(cluster: Cluster, pod: Object, container: str, *, previous: bool) -> list[str]:
    """The last lines of a container's log."""
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
    """Why, and what to do, when the time ran out on something that may still come."""
    where = f" -n {ref.namespace}" if ref.namespace else ""
    describe = f"kubectl{where} describe {ref.kind.lower()} {ref.name}"
    if (ref.group, ref.kind) == ("", "Service") and UNSEEN not in reason:
        return "its load balancer controller has not given it an address", f"read what it says of it  ·  {describe}"
    if (ref.group, ref.kind) == ("", "Service"):
        return (
            "nothing in the cluster has given the Service an address",
            "install a load balancer controller, or take another type: NodePort, or ClusterIP with an Ingress",
        )
    if UNSEEN in reason:
        return "no controller has looked at it", f"is the one that acts on {ref.kind} running?  ·  {describe}"
    return "it did not become ready in time", describe
