# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filter: rules of a NetworkPolicy from ports, namespaces and address ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: network_policy_rules
short_description: Rules of a NetworkPolicy
version_added: 0.1.0
description:
  - Writes rules as Kubernetes does.
  - A rule of ingress without peers would let everybody in, so one that names nobody is left out.
author: [llm-devops (@llm-devops)]
positional: direction, protocols
options:
  _input:
    description: Rules, each with C(ports) and, where it is not for everybody, C(namespaces) and C(cidrs).
    type: list
    elements: dict
    required: true
  direction:
    description: Which way the rules are for.
    type: str
    choices: [ingress, egress]
    required: true
  protocols:
    description: Protocols of every port.
    type: list
    elements: str
    default: [TCP]
"""

EXAMPLES = r"""
- name: Let the monitoring in
  ansible.builtin.debug:
    msg: "{{ rules | llm_devops.memory_graph.network_policy_rules('ingress') }}"
  vars:
    rules: [{ports: [9090], namespaces: [monitoring], cidrs: []}]
"""

RETURN = r"""
_value:
  description: The rules, for C(spec.ingress) or C(spec.egress).
  type: list
  elements: dict
"""

Rule = Mapping[str, Any]


def network_policy_rules(
    rules: Sequence[Rule], direction: str, protocols: Sequence[str] = ("TCP",)
) -> list[dict[str, Any]]:
    """Return the rules as Kubernetes writes them."""
    if direction == "ingress":
        return [{"from": peers, "ports": _ports(rule, protocols)} for rule in rules if (peers := _peers(rule))]
    return [{"to": _peers(rule), "ports": _ports(rule, protocols)} for rule in rules]


def _peers(rule: Rule) -> list[dict[str, Any]]:
    namespaces = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in rule["namespaces"]
    ]
    return [*namespaces, *({"ipBlock": {"cidr": cidr}} for cidr in rule["cidrs"])]


def _ports(rule: Rule, protocols: Sequence[str]) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": protocol} for port in rule["ports"] for protocol in protocols]


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"network_policy_rules": network_policy_rules}
