# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filter: where a container mounts its volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: volume_mounts
short_description: Where a container mounts its volumes
version_added: 0.1.0
description: Writes the mounts of volumes as Kubernetes does.
author: [llm-devops (@llm-devops)]
options:
  _input:
    description: Volumes, each with C(name), C(mount_path) and, where the container may only read it, C(read_only).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Mount a volume
  ansible.builtin.debug:
    msg: "{{ [{'name': 'data', 'mount_path': '/data'}] | llm_devops.memory_graph.volume_mounts }}"
"""

RETURN = r"""
_value:
  description: The mounts, for C(volumeMounts).
  type: list
  elements: dict
"""


def volume_mounts(volumes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mounts as Kubernetes writes them."""
    return [
        {"name": volume["name"], "mountPath": volume["mount_path"]}
        | ({"readOnly": True} if volume.get("read_only") else {})
        for volume in volumes
    ]


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"volume_mounts": volume_mounts}
