# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filter: the version that a container image says it is."""

from __future__ import annotations

from collections.abc import Callable

from ..plugin_utils.container_image import ContainerImage

DOCUMENTATION = r"""
name: image_version
short_description: The version in the tag of a container image
version_added: 0.1.0
description: The tag of a reference to a container image, without what a build appends to it behind a hyphen.
author: [llm-devops (@llm-devops)]
options:
  _input:
    description: Reference to the image.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Label the workload with its version
  ansible.builtin.debug:
    msg: "{{ 'registry.example/memory-graph:0.1.0-3f2a' | llm_devops.memory_graph.image_version }}"  # 0.1.0
"""

RETURN = r"""
_value:
  description: The version; C(unknown) where there is no tag.
  type: str
"""


def image_version(reference: str) -> str:
    """Return the tag of an image up to its first hyphen."""
    return ContainerImage.parse(reference).tag.partition("-")[0]


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"image_version": image_version}
