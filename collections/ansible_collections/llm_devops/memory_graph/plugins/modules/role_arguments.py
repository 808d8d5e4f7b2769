#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
from __future__ import annotations

DOCUMENTATION = r"""
module: role_arguments
short_description: Convert the arguments of a role and evaluate what follows from them
version_added: 0.1.0
description:
  - ansible-core checks the arguments of a role by its C(meta/argument_specs.yml) and leaves them as they are. Here each
    is converted as its C(type), C(elements) and C(options) say, or refused by name, so that what the command line and
    surveys give as text is the list, mapping, number or truth value that is meant.
  - Text for a list is JSON, YAML, or texts between commas or on lines of their own. Text for a mapping is JSON, YAML,
    or C(key=value) pairs. A null is the default of the variable. A required variable is neither null nor empty.
  - C(required_if), C(mutually_exclusive), C(required_together), C(required_one_of) and C(required_by) beside the
    C(options) of an entry point count, of the variables that are set.
  - A variable with the prefix of the role that no entry point of it has is refused.
  - Variables of the command line cannot be overridden, so what they become is in the result.
  - Works on the controller, as a task of the role whose arguments are meant.
author: [llm-devops (@llm-devops)]
options:
  entry_point:
    description: Entry point of the argument specs whose options are converted.
    type: str
    default: main
  facts:
    description: Facts with the prefix of the role that it sets itself and are no arguments.
    type: list
    elements: str
    default: []
  problems:
    description:
      - Name of a variable that is a list of sentences about arguments that cannot work together; the task fails by any.
      - It is evaluated with the converted arguments, like what follows. They are the variable C(role_arguments) too, by
        their names without the prefix of the role, so that a filter can have all of them.
    type: str
  quantities:
    description:
      - Name of a variable that is a list of names of arguments that are Kubernetes quantities, or mappings of them. The
        task fails by any value that is none, or is negative, and names it.
    type: str
  components:
    description:
      - Name of a variable that is a list of roles of the same collection whose results are part of this one's. Each has
        C(role), C(vars) and, where it depends, C(when). They are evaluated one after the other without tasks of their
        own; what one sets the next may use.
      - The role has a variable C(__ROLE_results), a dictionary of what it sets. All that ends in C(_objects) is
        C(component_objects) together.
    type: str
  values:
    description: What else to evaluate, as names of variables by the key that the result has it under.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Evaluates and changes nothing.
  diff_mode:
    support: none
    description: Nothing differs.
"""

EXAMPLES = r"""
- name: Check the arguments
  llm_devops.memory_graph.role_arguments:
    problems: __demo_problems
    quantities: __demo_quantities
    values: {objects: __demo_objects}
  register: __demo

- name: Release the objects
  llm_devops.memory_graph.release:
    name: "{{ __demo.arguments.name }}"
    namespace: "{{ __demo.arguments.namespace }}"
    objects: "{{ __demo.objects }}"
"""

RETURN = r"""
arguments:
  description: The converted arguments by name without the prefix of the role; those with C(no_log) are left out.
  returned: success
  type: dict
  sample: {name: demo, replicas: 3, client_cidrs: [10.0.0.0/8]}
cluster:
  description: >-
    Those of the arguments C(kubeconfig) and C(context) that are set, for C(module_defaults) of the modules that ask the
    cluster.
  returned: success
  type: dict
  sample: {context: kind-demo}
"""
