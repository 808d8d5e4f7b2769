#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: prerequisites
short_description: Have the namespace and the credentials that a release presupposes
version_added: 0.1.0
description:
  - Makes what is missing, and changes nothing that is there.
  - What it makes belongs to no release. It stays when a release is taken away, as the volumes do whose password it
    holds.
  - Random values are made where this module runs and sent to the API server. They are neither returned nor shown.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
options:
  namespace:
    description: The namespace.
    type: str
    required: true
  create_namespace:
    description: Whether the Namespace is made when it is missing. Otherwise nobody asks whether it is.
    type: bool
    default: true
  pod_security:
    description: Pod Security Standard of a Namespace that is made.
    type: str
    choices: [restricted, baseline, privileged]
    default: restricted
  labels:
    description: Labels of Secrets that are made.
    type: dict
    default: {}
  secrets:
    description: Secrets of the namespace.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the Secret.
        type: str
        required: true
      values:
        description: Keys with values that are known, such as a user name.
        type: dict
        default: {}
      random:
        description: Keys with values of 32 random letters and digits.
        type: list
        elements: str
        default: []
attributes:
  check_mode:
    support: full
    description: Makes nothing and says what is missing.
  diff_mode:
    support: none
    description: What it makes is secret.
"""

EXAMPLES = r"""
- name: A password for a database, made once
  llm_devops.memory_graph.prerequisites:
    namespace: llm-memory-graph
    secrets:
      - name: neo4j-credentials
        values: {username: neo4j}
        random: [password]
"""

RETURN = r"""
created:
  description: What was made, or would be in check mode, each as C(Kind/name).
  returned: success
  type: list
  elements: str
  sample: [Namespace/llm-memory-graph, Secret/neo4j-credentials]
report:
  description: Lines for a person, each a C(label) and a C(text).
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._ansible import ClusterModule, sentence
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import Cluster
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _prerequisites

OPTIONS: dict[str, dict[str, Any]] = {
    "namespace": {"type": "str", "required": True},
    "create_namespace": {"type": "bool", "default": True},
    "pod_security": {"type": "str", "choices": ["restricted", "baseline", "privileged"], "default": "restricted"},
    "labels": {"type": "dict", "default": {}},
    "secrets": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "name": {"type": "str", "required": True},
            "values": {"type": "dict", "default": {}},
            "random": {"type": "list", "elements": "str", "default": []},
        },
    },
}


class PrerequisitesModule(ClusterModule):
    """The invocation it returns names the keys of Secrets and not their values."""

    def invocation(self) -> dict[str, Any]:
        result: dict[str, Any] = super().invocation()
        secrets = [{**secret, "values": sorted(secret["values"] or {})} for secret in self.params["secrets"]]
        result["module_args"] = {**result["module_args"], "secrets": secrets}
        return result


def create_missing(cluster: Cluster, params: dict[str, Any], *, check: bool) -> list[str]:
    """Create the objects that are missing, and return their names; with ``check`` only return them."""
    namespace, created = params["namespace"], []
    if params["create_namespace"] and cluster.find(f"/api/v1/namespaces/{namespace}") is None:
        manifest = _prerequisites.namespace(namespace, {}, params["pod_security"])
        if check or _prerequisites.create(cluster, "/api/v1/namespaces", manifest):
            created.append(f"Namespace/{namespace}")
    created += [
        f"Secret/{secret['name']}"
        for secret in params["secrets"]
        if _prerequisites.ensure_secret(cluster, namespace, secret, params["labels"], check=check)
    ]
    return created


@sentence
def main() -> None:
    module = PrerequisitesModule(OPTIONS, supports_check_mode=True)
    try:
        created = create_missing(module.connect(), module.params, check=module.check_mode)
    except ClusterError as error:
        module.refuse(error)
    verb = "would be made" if module.check_mode else "made"
    report = [{"label": "prepare", "text": f"{', '.join(created)} {verb}"}] if created else []
    module.done(changed=bool(created), created=created, report=report)


if __name__ == "__main__":
    main()
