# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filter: what cannot work in the arguments of the role neo4j."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..plugin_utils.addresses import NEO4J_URI, without_credentials
from ..plugin_utils.container_image import PIN, ContainerImage
from ..plugin_utils.quantities import JAVA_SIZE

DOCUMENTATION = r"""
name: neo4j_problems
short_description: What cannot work together in the arguments of the role neo4j
version_added: 0.1.0
description: A sentence for each thing that is wrong in arguments that are each allowed and together cannot work.
author: [llm-devops (@llm-devops)]
options:
  _input:
    description:
      - The converted arguments of the role, by their names without C(neo4j_), as
        M(llm_devops.memory_graph.role_arguments) has them in the variable C(role_arguments).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse what cannot work
  llm_devops.memory_graph.role_arguments:
    problems: __neo4j_problems  # "{{ role_arguments | llm_devops.memory_graph.neo4j_problems }}"
"""

RETURN = r"""
_value:
  description: The sentences; empty where nothing is wrong.
  type: list
  elements: str
"""

MIN_MEMBERS = 3

Arguments = Mapping[str, Any]


def neo4j_problems(arguments: Arguments) -> list[str]:
    """Return a sentence for each thing that is wrong."""
    if arguments["mode"] == "external":
        return list(_external(arguments))
    return [*_deployed(arguments), *_cluster(arguments), *_image(arguments)]


def _external(of: Arguments) -> Iterator[str]:
    uri = of["uri"]
    if not uri:
        yield (
            "neo4j_mode is external, but neo4j_uri is empty: name the database, as neo4j+s://db.example:7687, or set"
            " neo4j_mode to single to have one deployed"
        )
    elif not NEO4J_URI.match(uri):
        yield (
            f"neo4j_uri is {without_credentials(uri)}: write it like neo4j+s://db.example:7687, without user,"
            f" password and path; user and password are in Secret {of['credentials_secret']}"
        )


def _deployed(of: Arguments) -> Iterator[str]:
    heap, page_cache = of["heap_size"], of["page_cache_size"]
    if not (JAVA_SIZE.match(heap) and JAVA_SIZE.match(page_cache)):
        yield f"neo4j_heap_size is {heap} and neo4j_page_cache_size {page_cache}: write each as Java does, 512m or 4g"
    if of["uri"]:
        yield (
            f"neo4j_uri {without_credentials(of['uri'])} is for neo4j_mode external, and neo4j_mode is"
            f" {of['mode']}: take one of them out"
        )


def _cluster(of: Arguments) -> Iterator[str]:
    if of["mode"] != "cluster":
        return
    if _is_community(ContainerImage.parse(of["image"])):
        yield (
            f"neo4j_mode is cluster, but neo4j_image {of['image']} is Neo4j Community, which runs as one server alone:"
            " name an Enterprise or a DozerDB image, or set neo4j_mode to single"
        )
    if of["members"] < MIN_MEMBERS or of["members"] % 2 == 0:
        yield (
            f"neo4j_members is {of['members']}, of which no majority outlives one that dies: name an odd number of"
            f" {MIN_MEMBERS} or more"
        )


def _is_community(image: ContainerImage) -> bool:
    return (
        "community" in image.name
        or image.name.startswith("memory-graph-neo4j:")
        or (image.name.startswith("neo4j:") and "enterprise" not in image.tag)
    )


def _image(of: Arguments) -> Iterator[str]:
    image = ContainerImage.parse(of["image"])
    if "enterprise" in image.tag and of["license"] == "none":
        yield (
            f"neo4j_image {of['image']} is Neo4j Enterprise, which starts for those alone who accepted its licence: set"
            " neo4j_license to accepted or evaluation"
        )
    if not image.is_pinned:
        yield f"neo4j_image {of['image']} {PIN}"


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"neo4j_problems": neo4j_problems}
