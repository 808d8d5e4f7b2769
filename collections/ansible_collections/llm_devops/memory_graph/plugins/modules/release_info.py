#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Read what a release consists of and how its objects stand
version_added: 0.1.0
description:
  - Reads the record of a release and the live state of its members.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
options:
  name:
    description: Name of the release.
    type: str
    required: true
  namespace:
    description: Home of the release.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: How does it stand
  llm_devops.memory_graph.release_info:
    name: memory-graph
    namespace: llm-memory-graph
"""

RETURN = r"""
exists:
  description: Whether the release was ever made.
  returned: always
  type: bool
revision:
  description: Number of the current revision, 0 when there is none.
  returned: always
  type: int
state:
  description: C(deployed), C(failed), C(pending), or C(uninstalled) when only data it kept is left.
  returned: always
  type: str
when:
  description: Time of the current revision (UTC, ISO 8601).
  returned: always
  type: str
digest:
  description: Keyed digest of the revision's manifests.
  returned: always
  type: str
objects:
  description: Members with their C(state) - ready, progressing, failed or missing - and C(reason).
  returned: always
  type: list
  elements: dict
history:
  description: Earlier revisions, oldest first.
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.llm_devops.memory_graph.plugins.module_utils import _history
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._ansible import ClusterModule
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._cluster import Cluster
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._plan import in_parallel
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._predicates import judge

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
}


def standing(cluster: Cluster, discovery: Discovery, member: _history.Member) -> dict[str, Any]:
    """A member and how it stands."""
    resource = discovery.find(member.api_version, member.ref.kind)
    live = cluster.find(resource.path(member.ref.namespace, member.ref.name)) if resource else None
    state, reason = judge({**live, "kind": member.ref.kind}) if live else ("missing", "it does not exist")
    return {**member.as_dict(), "state": state, "reason": reason}


def main() -> None:
    module = ClusterModule(OPTIONS, supports_check_mode=True)
    try:
        cluster = module.connect()
        discovery = Discovery(cluster)
        record = _history.read(cluster, module.params["name"], module.params["namespace"])
        objects = in_parallel(lambda member: standing(cluster, discovery, member), record.members, 8)
    except ClusterError as error:
        module.refuse(error)
    module.done(
        changed=False, exists=record.revision > 0, revision=record.revision, state=record.state, when=record.when,
        digest=record.digest, objects=objects, history=list(record.history), api_calls=cluster.api_calls,
    )  # fmt: skip


if __name__ == "__main__":
    main()
