# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filter: the configs of topics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: kafka_topic_configs
short_description: Configs of topics
version_added: 0.1.0
description: The retention and the in-sync replicas of each topic, and what it names itself.
author: [llm-devops (@llm-devops)]
positional: min_insync_replicas
options:
  _input:
    description: Topics, each with C(name), C(retention_days) and perhaps C(configs), which win.
    type: list
    elements: dict
    required: true
  min_insync_replicas:
    description: Copies that must have a record before it counts as written.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Print the configs
  ansible.builtin.debug:
    msg: "{{ [{'name': 'events', 'retention_days': 7}] | llm_devops.memory_graph.kafka_topic_configs(2) }}"
"""

RETURN = r"""
_value:
  description: Configs by the name of the topic.
  type: dict
"""

DAY_MS = 86_400_000


def kafka_topic_configs(topics: Sequence[Mapping[str, Any]], min_insync_replicas: int) -> dict[str, dict[str, Any]]:
    """Return the configs of each topic by its name."""
    return {
        topic["name"]: {
            "retention.ms": topic["retention_days"] * DAY_MS,
            "min.insync.replicas": min_insync_replicas,
            **(topic.get("configs") or {}),
        }
        for topic in topics
    }


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"kafka_topic_configs": kafka_topic_configs}
