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
  - Reads the record of a release, the live state of its members, and what differs from its current revision.
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
  drift:
    description:
      - Whether to compare the current revision with what lives. This applies it as a dry run, for which the API server
        wants the right to patch.
    type: bool
    default: true
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
who:
  description: User as the API server knew it, and person and machine, that made the current revision.
  returned: always
  type: str
note:
  description: What the revision is beside a deployment, such as C(rollback to 3).
  returned: always
  type: str
history:
  description:
    - Earlier revisions, oldest first, each with C(revision), C(state), C(when), C(who), C(note), C(digest), the C(slot)
      its objects are in, and C(kept), whether they are there for a rollback.
  returned: always
  type: list
  elements: dict
lock:
  description: C(holder) of the release's lock and C(since) when, empty when nobody deploys it.
  returned: always
  type: dict
drift:
  description:
    - Fields of the current revision that live otherwise, each with C(what) (changed, missing, taken or unknown),
      C(path), C(expected), C(live), C(manager) and C(when) it wrote, and all of it as C(text) for a person.
    - Values of Secrets are not shown.
  returned: when O(drift=true)
  type: list
  elements: dict
  sample:
    - kind: Deployment
      namespace: demo
      name: web
      what: changed
      path: spec.replicas
      expected: 3
      live: 5
      manager: kubectl-edit
      when: "2026-01-01T10:00:00Z"
      text: "Deployment/web  spec.replicas: 3, live 5 — changed by kubectl-edit 2 h ago"
drift_unknown:
  description: Why drift cannot be told, empty when it can.
  returned: when O(drift=true)
  type: str
orphans:
  description: Objects that carry the label of the release and are not in its record.
  returned: when O(drift=true)
  type: list
  elements: dict
"""

import datetime as dt
from typing import Any

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._ansible import ClusterModule, sentence
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import Cluster, in_parallel
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._kinds import judge
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import (
    _drift,
    _history,
    _lease,
    _revisions,
)

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "drift": {"type": "bool", "default": True},
}
PARALLELISM = 8


def status_of(cluster: Cluster, discovery: Discovery, member: _history.Member) -> dict[str, Any]:
    """Return a member with its state."""
    resource = discovery.reach(member.ref.group, member.ref.kind, member.api_version)
    if resource is None:
        return {**member.as_dict(), "state": "unknown", "reason": "the cluster serves no version of its kind"}
    live = cluster.find(resource.path(member.ref.namespace, member.ref.name))
    if live is None:
        return {**member.as_dict(), "state": "missing", "reason": "it does not exist"}
    verdict = judge({**live, "kind": member.ref.kind})
    return {**member.as_dict(), "state": verdict.state, "reason": verdict.reason}


def find_changes(cluster: Cluster, discovery: Discovery, record: _history.ReleaseRecord) -> dict[str, Any]:
    """Return the differences from the current revision."""
    answer: dict[str, Any] = {"drift": [], "drift_unknown": "", "orphans": []}
    if not record.revision or record.state == "uninstalled":
        return {**answer, "drift_unknown": f"{record.name} is not deployed in {record.namespace}"}
    stored = _revisions.read(cluster, record, record.entry())
    if stored is None:
        answer["drift_unknown"] = f"the objects of revision {record.revision} were not kept; deploy once more"
    else:
        now = dt.datetime.now(dt.UTC)
        differences = _drift.find_drift(cluster, discovery, record, stored, PARALLELISM)
        answer["drift"] = [difference.as_dict(now) for difference in differences]
    orphans = _drift.orphans(cluster, discovery, record, PARALLELISM)
    answer["orphans"] = [
        {"kind": difference.kind, "namespace": difference.namespace, "name": difference.name} for difference in orphans
    ]
    return answer


def read_lock(cluster: Cluster, name: str, namespace: str) -> dict[str, str]:
    """Return who deploys the release now; nobody where Leases may not be read."""
    try:
        lease = cluster.find(_lease.path(name, namespace))
    except ApiError as error:
        if error.status != 403:
            raise
        return {}
    return _lease.held_by(lease) if lease else {}


def history_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a revision without the details of its storage."""
    return {**{key: value for key, value in entry.items() if key != "parts"}, "kept": entry["parts"] > 0}


@sentence
def main() -> None:
    module = ClusterModule(OPTIONS, supports_check_mode=True)
    name, namespace = module.params["name"], module.params["namespace"]
    try:
        cluster = module.connect()
        discovery = Discovery(cluster)
        record = _history.read(cluster, name, namespace)
        objects = in_parallel(lambda member: status_of(cluster, discovery, member), record.members, PARALLELISM)
        lock_holder = read_lock(cluster, name, namespace)
        answer = find_changes(cluster, discovery, record) if module.params["drift"] else {}
    except ClusterError as error:
        module.refuse(error)
    module.done(
        changed=False, exists=record.revision > 0, revision=record.revision, state=record.state, when=record.when,
        who=record.deployed_by, note=record.description, digest=record.digest, objects=objects, lock=lock_holder,
        history=[history_entry(entry) for entry in record.history], api_calls=cluster.api_calls, **answer,
    )  # fmt: skip


if __name__ == "__main__":
    main()
