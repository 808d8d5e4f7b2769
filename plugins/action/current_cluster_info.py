"""Returns which cluster a kubeconfig leads to, and whether it answers; no cluster is a result too.

Options:
  kubeconfig (path)            without it KUBECONFIG and ~/.kube/config are read
  context (str)                context to use instead of the current one
Returns
  answers                      whether an API server answered
  source, version              when it did: kubeconfig and context in words, version of the API server
  reason                       when it did not: why there is no cluster, in one sentence
  kind_cluster                 name of the kind cluster this is; empty for any other, and where nodes may not be listed
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect

KIND_PROVIDER = "kind://"


def kind_cluster_of(nodes: list[dict[str, Any]]) -> str:
    """Return the name of the kind cluster, from the provider id of its nodes: kind://docker/<cluster>/<node>."""
    for node in nodes:
        provider_id = str(node.get("spec", {}).get("providerID", ""))
        if provider_id.startswith(KIND_PROVIDER):
            return provider_id.removeprefix(KIND_PROVIDER).split("/")[1]
    return ""


def current_cluster(options: dict[str, Any]) -> dict[str, Any]:
    """Ask the cluster for its version and nodes; no cluster, or none that answers, is a result and no error."""
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


class ActionModule(ActionBase):  # type: ignore[misc] # ansible-core ships no types
    """Works on the controller alone: the hosts of this checkout are clusters reached over a local connection."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={"kubeconfig": {"type": "path"}, "context": {"type": "str"}}
        )
        return {**result, "changed": False, **current_cluster(options)}
