# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When Services and Ingresses are ready. Pure."""

from __future__ import annotations

from .._json import at, mappings, text
from ._verdict import UNSEEN, Object, Verdict


def service(obj: Object) -> Verdict:
    if at(obj, "spec", "type") != "LoadBalancer":
        return Verdict("ready", "")
    if at(obj, "spec", "externalIPs"):  # somebody routes them to the nodes: no controller needs to find an address
        return Verdict("ready", "external addresses")
    addresses = _addresses(obj)
    if addresses:
        return Verdict("ready", addresses)
    # a controller that takes it up leaves a finalizer or a condition before there is an address
    taken_up = at(obj, "metadata", "finalizers") or at(obj, "status", "conditions")
    return Verdict("progressing", "no load balancer address yet" + ("" if taken_up else f": {UNSEEN}"))


def service_late(_kind: str, reason: str, describe: str) -> tuple[str, str]:
    if UNSEEN not in reason:
        return "its load balancer controller has not given it an address", f"read what it says of it  ·  {describe}"
    return (
        "nothing in the cluster has given the Service an address",
        "install a load balancer controller, or take another type: NodePort, or ClusterIP with an Ingress",
    )


def ingress(obj: Object) -> Verdict:
    """Ready as soon as it is stored, as for kubectl, Helm and kapp: many controllers, such as those behind a NodePort
    or outside of the cluster, never write an address, so waiting for one would fail what works."""
    return Verdict("ready", _addresses(obj))


def _addresses(obj: Object) -> str:
    entries = mappings(obj, "status", "loadBalancer", "ingress")
    return ", ".join(address for entry in entries if (address := text(entry, "ip") or text(entry, "hostname")))
