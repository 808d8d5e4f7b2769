# Copyright (c) LLM DevOps
# SPDX-License-Identifier: Apache-2.0
"""Filter that finds variables a role does not have."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: unknown_variables
author: LLM DevOps (@llm-devops)
version_added: 0.1.0
short_description: Sentences about variables a role does not have
description:
  - An argument spec does not see a variable it does not know, so a misspelt one silently leaves the default in place.
    This filter compares the names that are set with those of all entry points of a role.
positional: specs, role
options:
  _input:
    description: Names of the variables that are set and carry the prefix of the role.
    type: list
    elements: str
    required: true
  specs:
    description: The C(argument_specs) of the role, by entry point.
    type: dict
    required: true
  role:
    description: Name of the role, for the sentence.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse variables nobody reads
  ansible.builtin.assert:
    that: unknown | length == 0
    fail_msg: "{{ unknown | join(' ') }}"
  vars:
    unknown: >-
      {{ query('ansible.builtin.varnames', '^memory_graph_')
         | llm_devops.memory_graph.unknown_variables(specs, 'memory_graph') }}
"""

RETURN = r"""
_value:
  description: One sentence for each unknown variable, in the order of their names; empty when all are known.
  type: list
  elements: str
"""


def unknown_variables(names: Iterable[str], specs: Mapping[str, Any], role: str) -> list[str]:
    """Says of each name that no entry point of the role has, that it is unknown and which one may be meant.

    Raises:
        AnsibleFilterError: when `specs` is no mapping of entry points.
    """
    if not isinstance(specs, Mapping):
        raise AnsibleFilterError(
            f"unknown_variables needs the argument_specs of role {role}, not {type(specs).__name__}"
        )
    known = sorted({option for spec in specs.values() for option in spec.get("options", {})})
    return [_sentence(name, known, role) for name in sorted(set(names) - set(known))]


def _sentence(name: str, known: list[str], role: str) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = (
        f"did you mean {nearest[0]}?" if nearest else f"ansible-doc -t role llm_devops.memory_graph.{role} lists them"
    )
    return f"{name} is not a variable of role {role}; {hint}"


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Returns the filters by name."""
        return {"unknown_variables": unknown_variables}
