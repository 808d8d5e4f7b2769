# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filter: a probe of a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: container_probe
short_description: A probe of a container
version_added: 0.1.0
description: Writes a probe as Kubernetes does.
author: [llm-devops (@llm-devops)]
options:
  _input:
    description:
      - One of C(grpc_port), C(http) and C(tcp_port), and C(period_seconds), C(timeout_seconds) and
        C(failure_threshold), as the role workload has it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Ask a port
  ansible.builtin.debug:
    msg: "{{ probe | llm_devops.memory_graph.container_probe }}"
  vars:
    probe: {tcp_port: 9092, period_seconds: 10, timeout_seconds: 3, failure_threshold: 3}
"""

RETURN = r"""
_value:
  description: The probe.
  type: dict
"""


def container_probe(probe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the probe as Kubernetes writes it."""
    return {
        **_handler(probe),
        "periodSeconds": probe["period_seconds"],
        "timeoutSeconds": probe["timeout_seconds"],
        "failureThreshold": probe["failure_threshold"],
    }


def _handler(probe: Mapping[str, Any]) -> dict[str, Any]:
    if probe.get("grpc_port"):
        service = {"service": probe["grpc_service"]} if probe.get("grpc_service") else {}
        return {"grpc": {"port": probe["grpc_port"], **service}}
    if probe.get("http"):
        return {"httpGet": {"path": probe["http"]["path"], "port": probe["http"]["port"]}}
    return {"tcpSocket": {"port": probe["tcp_port"]}}


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"container_probe": container_probe}
