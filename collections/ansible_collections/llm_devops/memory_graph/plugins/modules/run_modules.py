#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: run_modules
short_description: Run modules of this collection one after the other in one process
version_added: 0.1.0
description:
  - Packing a module and starting a Python for it takes longer than what most modules do. With a local connection, the
    controller's own Python, no privilege escalation and no environment of the task the modules run in one process that
    the task forks; else each is started as Ansible does.
  - The first module that fails ends it, and its result is the result of the task.
  - Shows the progress of M(llm_devops.memory_graph.release) meanwhile, as that one does.
author: [llm-devops (@llm-devops)]
options:
  defaults:
    description: Arguments of every module that has an option of that name; a null is none.
    type: dict
    default: {}
  steps:
    description:
      - What to run, each with a C(name) that a failure is told by, a C(module) without its collection, and its
        C(arguments), of which a null is none.
      - Defaults by C(module_defaults) do not reach them.
    type: list
    elements: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Every module runs in check mode.
  diff_mode:
    support: full
    description: Shows what the modules show.
"""

EXAMPLES = r"""
- name: Check the cluster and release the objects
  llm_devops.memory_graph.run_modules:
    defaults: {name: demo, namespace: demo, objects: "{{ objects }}"}
    steps:
      - {name: Check the cluster, module: preflight_info, arguments: {}}
      - {name: Release the objects, module: release, arguments: {wait_timeout: 60}}
"""

RETURN = r"""
steps:
  description: What each module answered that was run, and its name as C(step).
  returned: always
  type: list
  elements: dict
report:
  description: Lines for a person of all modules, each a C(label) and a C(text).
  returned: when there are some
  type: list
  elements: dict
"""
