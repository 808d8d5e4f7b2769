#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: api_groups_info
short_description: Read which API groups a cluster serves
version_added: 0.1.0
description:
  - Reads the names of the API groups the API server serves, for what is described otherwise where one of them is
    missing - an autoscaler without C(external.metrics.k8s.io), say.
  - A group whose aggregated API server does not answer is listed as long as it is registered.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: Which APIs are there
  llm_devops.memory_graph.api_groups_info:
  register: cluster_apis

- name: Say whether anything serves external metrics
  ansible.builtin.debug:
    msg: "{{ 'external.metrics.k8s.io' in cluster_apis.groups }}"
"""

RETURN = r"""
groups:
  description: Names of the groups, without versions, sorted.
  returned: always
  type: list
  elements: str
  sample: [apps, autoscaling, batch, metrics.k8s.io]
"""

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._ansible import ClusterModule, sentence
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError


@sentence
def main() -> None:
    module = ClusterModule({}, supports_check_mode=True)
    try:
        served = module.connect().request("GET", "/apis")
    except ClusterError as error:
        module.refuse(error)
    module.done(changed=False, groups=sorted(str(group["name"]) for group in served.get("groups") or []))


if __name__ == "__main__":
    main()
