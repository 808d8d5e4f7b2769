# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filter: what cannot work in the arguments of the role kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..plugin_utils.addresses import BROKER, without_credentials
from ..plugin_utils.container_image import PIN, ContainerImage
from ..plugin_utils.quantities import JAVA_SIZE

DOCUMENTATION = r"""
name: kafka_problems
short_description: What cannot work together in the arguments of the role kafka
version_added: 0.1.0
description: A sentence for each thing that is wrong in arguments that are each allowed and together cannot work.
author: [llm-devops (@llm-devops)]
options:
  _input:
    description:
      - The converted arguments of the role, by their names without C(kafka_), as
        M(llm_devops.memory_graph.role_arguments) has them in the variable C(role_arguments).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse what cannot work
  llm_devops.memory_graph.role_arguments:
    problems: __kafka_problems  # "{{ role_arguments | llm_devops.memory_graph.kafka_problems }}"
"""

RETURN = r"""
_value:
  description: The sentences; empty where nothing is wrong.
  type: list
  elements: str
"""


Arguments = Mapping[str, Any]


def kafka_problems(arguments: Arguments) -> list[str]:
    """Return a sentence for each thing that is wrong."""
    checks = (_external, _topics, _deployed, _image)
    return [problem for check in checks for problem in check(arguments)]


def _external(of: Arguments) -> Iterator[str]:
    brokers = of["bootstrap_servers"]
    if of["mode"] == "external" and not brokers:
        yield (
            "kafka_mode is external, but kafka_bootstrap_servers is empty: name brokers, as [kafka.example:9093], or"
            " set kafka_mode to strimzi or, for development, to single"
        )
    if malformed := [without_credentials(broker) for broker in brokers if not BROKER.match(broker)]:
        yield f"kafka_bootstrap_servers has {', '.join(malformed)}: write each like kafka-1.example:9093"


def _topics(of: Arguments) -> Iterator[str]:
    if of["replication_factor"] < 1:
        yield f"kafka_replication_factor is {of['replication_factor']}: give 1 or more"
    if short := [topic["name"] for topic in of["topics"] if min(topic["partitions"], topic["retention_days"]) < 1]:
        yield f"kafka_topics has {', '.join(short)} with less than 1 partition or 1 day: give 1 or more of each"


def _deployed(of: Arguments) -> Iterator[str]:
    mode, copies, brokers = of["mode"], of["replication_factor"], of["brokers"]
    if mode == "external":
        return
    if not JAVA_SIZE.match(of["heap_size"]):
        yield f"kafka_heap_size is {of['heap_size']}: write it as Java does, 512m or 4g"
    if of["bootstrap_servers"]:
        yield f"kafka_bootstrap_servers are for kafka_mode external, and kafka_mode is {mode}: take one of them out"
    if mode == "strimzi" and copies > brokers:
        yield (
            f"kafka_replication_factor is {copies}, but kafka_brokers is {brokers}: a broker keeps one copy of a"
            " record, so raise kafka_brokers or lower kafka_replication_factor"
        )


def _image(of: Arguments) -> Iterator[str]:
    if of["mode"] == "single" and not ContainerImage.parse(of["image"]).is_pinned:
        yield f"kafka_image {of['image']} {PIN}"


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"kafka_problems": kafka_problems}
