"""Which cluster a kubeconfig leads to, and whether it answers."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, ClusterError

DOCUMENTATION = r"""
module: current_cluster_info
author: memory-graph contributors
short_description: Tells which cluster a kubeconfig leads to, and whether it answers
description:
  - Never fails because there is no cluster; that is an answer too.
options:
  kubeconfig:
    description: Path of a kubeconfig. Without it E(KUBECONFIG) and C(~/.kube/config) are read.
    type: path
  context:
    description: Context to use instead of the current one.
    type: str
"""

EXAMPLES = r"""
- name: Ask the cluster of the current kubeconfig
  current_cluster_info:
  register: current
"""

RETURN = r"""
answers:
  description: Whether an API server answered.
  type: bool
  returned: always
source:
  description: Kubeconfig and context, in words.
  type: str
  returned: when answers
version:
  description: Version of the API server.
  type: str
  returned: when answers
reason:
  description: Why there is no cluster, in one sentence.
  type: str
  returned: when not answers
kind_cluster:
  description: Name of the kind cluster this is; empty for any other, and where nodes may not be listed.
  type: str
  returned: always
"""

KIND_PROVIDER = "kind://"


def kind_cluster_of(nodes: list[dict[str, Any]]) -> str:
    """Returns the kind cluster's name, from the provider id kind gives its nodes: kind://docker/<cluster>/<node>."""
    for node in nodes:
        provider_id = str(node.get("spec", {}).get("providerID", ""))
        if provider_id.startswith(KIND_PROVIDER):
            return provider_id.removeprefix(KIND_PROVIDER).split("/")[1]
    return ""


def current_cluster(options: dict[str, Any]) -> dict[str, Any]:
    """Asks the cluster for its version and nodes; no cluster, or none that answers, is a result and no error."""
    try:
        cluster = connect(options)
        version = cluster.request("GET", "/version")
    except ClusterError as error:
        return {"answers": False, "reason": error.message, "kind_cluster": ""}
    try:
        nodes = cluster.request("GET", "/api/v1/nodes", {"limit": 1}).get("items") or []
    except ApiError:
        nodes = []  # a user of one namespace may not list nodes, and needs no image loaded into them
    return {
        "answers": True,
        "source": cluster.access.source,
        "version": version.get("gitVersion", ""),
        "kind_cluster": kind_cluster_of(nodes),
    }


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={"kubeconfig": {"type": "path"}, "context": {"type": "str"}}, supports_check_mode=True
    )
    module.exit_json(changed=False, **current_cluster(module.params))


if __name__ == "__main__":
    main()
