# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filter: where the servers are that pods connect to, for a NetworkPolicy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

DOCUMENTATION = r"""
name: egress_peers
short_description: Where servers are, as rules of a NetworkPolicy
version_added: 0.1.0
description:
  - Derives from each address whether it is a Service of this namespace, one of another namespace, or outside the
    cluster.
author: [llm-devops (@llm-devops)]
positional: namespace, default_port, cidrs
options:
  _input:
    description: Addresses, each C(host) or C(host:port).
    type: list
    elements: str
    required: true
  namespace:
    description: Namespace of the pods, in which a name without dots is a Service.
    type: str
    required: true
  default_port:
    description: Port of an address that names none.
    type: int
    required: true
  cidrs:
    description: Address ranges of servers outside the cluster.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Let pods reach their brokers
  ansible.builtin.debug:
    msg: "{{ ['kafka:9092'] | llm_devops.memory_graph.egress_peers('team-a', 9092, []) }}"
  # [{"ports": [9092], "namespaces": ["team-a"], "cidrs": []}]
"""

RETURN = r"""
_value:
  description: C(ports), C(namespaces) and C(cidrs) of each server, each rule once.
  type: list
  elements: dict
"""

PORT = re.compile(r":([0-9]+)$")


def egress_peers(servers: list[str], namespace: str, default_port: int, cidrs: list[str]) -> list[dict[str, Any]]:
    """Return the port and the place of each server, each rule once."""
    peers: list[dict[str, Any]] = []
    for server in servers:
        port, host = PORT.search(server), PORT.sub("", server)
        service_namespace = _service_namespace(host, namespace)
        peer = {
            "ports": [int(port.group(1)) if port else default_port],
            "namespaces": [service_namespace] if service_namespace else [],
            "cidrs": [] if service_namespace else cidrs,
        }
        if peer not in peers:
            peers.append(peer)
    return peers


def _service_namespace(host: str, namespace: str) -> str | None:
    """Return the namespace of a Service that is addressed by its name, and none for a host outside the cluster."""
    parts = host.split(".")
    if len(parts) == 1 and ":" not in host:
        return namespace
    return parts[1] if parts[2:3] == ["svc"] else None


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"egress_peers": egress_peers}
