#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_info
short_description: Find everything that would stop a release, before anything is written
version_added: 0.1.0
description:
  - Checks the API server's version, the namespace, kinds, every permission the release needs, storage classes and
    their access modes, metrics APIs, whether the API server admits the pods, quotas, limit ranges, whether there is a
    node for the pods of each workload, images, and the objects that are referred to.
  - Whether pods are admitted is the API server's answer to a dry run of one Pod for each workload, named after it with
    C(-preflight). It knows Pod Security, limit ranges, service accounts, priority and runtime classes, webhooks and
    policies. In a namespace that does not exist yet, and without the right to create that Pod, the most common rules
    are computed instead.
  - All problems are reported at once, each with the way out. What may not be read is a note that says so.
notes:
  - Whether a registry serves an image can only be known by pulling it. What is said is which nodes have it already.
  - Whether a pod finds a node is computed from what nodes have in all, node selectors, required node affinity and
    taints. Room beside other pods is the scheduler's to find.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
options:
  name:
    description: Name of the release.
    type: str
    default: memory-graph
  namespace:
    description: Home of the release.
    type: str
    required: true
  objects:
    description:
      - The manifests that are going to be released.
      - Each is a dictionary, a C(List) object, or YAML text of one or more documents, as a template gives it.
    type: raw
    required: true
  history_limit:
    description: How many revisions the release remembers, as in M(llm_devops.memory_graph.release).
    type: int
    default: 10
  fail_on_problems:
    description: Whether the task fails when there are problems.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Writes nothing.
"""

EXAMPLES = r"""
- name: Look before the first write
  llm_devops.memory_graph.preflight_info:
    namespace: llm-memory-graph
    objects: "{{ objects }}"
"""

RETURN = r"""
ok:
  description: Whether there are no problems.
  returned: always
  type: bool
problems:
  description: Each a C(check), a C(message) and a C(way_out).
  returned: always
  type: list
  elements: dict
notes:
  description: What is worth knowing but stops nothing; each a C(check) and a C(message).
  returned: always
  type: list
  elements: dict
passed:
  description: The checks that passed.
  returned: always
  type: list
  elements: dict
report:
  description: Lines for a person, each a C(label) and a C(text).
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._ansible import ClusterModule, sentence
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest_checks import release_name
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._preflight import Preflight, table

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "default": "memory-graph"},
    "namespace": {"type": "str", "required": True},
    "objects": {"type": "raw", "required": True},
    "history_limit": {"type": "int", "default": 10},
    "fail_on_problems": {"type": "bool", "default": True},
}


@sentence
def main() -> None:
    module = ClusterModule(OPTIONS, supports_check_mode=True)
    params = module.params
    try:
        release_name(params["name"])
        objects = prepared(params["objects"], params["name"], params["namespace"])
        preflight = Preflight(module.connect(), params["namespace"], objects, params["name"], params["history_limit"])
        preflight.run()
    except ClusterError as error:
        module.refuse(error)
    result = {
        "changed": False, "ok": not preflight.problems, "problems": preflight.problems,
        "notes": preflight.notes, "passed": preflight.passed, "api_calls": preflight.cluster.api_calls,
    }  # fmt: skip
    text = table(preflight.problems, preflight.notes, preflight.passed)
    if preflight.problems and params["fail_on_problems"]:
        module.refuse(ClusterError(f"preflight   {text}"), **result)
    module.done(**result, report=[{"label": "preflight", "text": text}])


if __name__ == "__main__":
    main()
