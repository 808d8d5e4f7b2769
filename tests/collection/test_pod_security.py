"""The rendered pods, admitted by a real API server: a dry run in a namespace that enforces the restricted standard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError

RENDER = """
- name: Render
  hosts: memory_graph
  gather_facts: false
  tasks:
    - name: Render
      ansible.builtin.include_role:
        name: llm_devops.memory_graph.memory_graph
        tasks_from: render
"""


@pytest.fixture
def workload(installed: Path, namespace: str, tool, tmp_path: Path) -> dict[str, Any]:
    """The StatefulSet, with every part that makes a pod larger: TLS, plugins copied by an init container."""
    (installed / "render.yml").write_text(RENDER)
    variables = {
        "memory_graph_namespace": namespace,
        "memory_graph_render_directory": str(tmp_path / "rendered"),
        "memory_graph_tls": True,
        "memory_graph_existing_secret": "certificate",
        "memory_graph_plugins_source": "image",
        "memory_graph_plugins_image": "plugins:1",
    }
    (tmp_path / "variables.yml").write_text(yaml.safe_dump(variables))
    tool(installed, "ansible-playbook", "-i", "inventory.yml", "-e", f"@{tmp_path / 'variables.yml'}", "render.yml")
    return yaml.safe_load((tmp_path / "rendered/statefulset-memory-graph.yaml").read_text())


@pytest.fixture
def restricted(cluster, namespace: str) -> str:
    """A namespace that refuses pods which do not satisfy the restricted standard."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    cluster.request("POST", "/api/v1/namespaces", None, {"metadata": {"name": namespace, "labels": labels}})
    return namespace


def dry_run(cluster, namespace: str, plural: str, obj: dict[str, Any]) -> None:
    group = "api/v1" if plural == "pods" else "apis/apps/v1"
    cluster.request("POST", f"/{group}/namespaces/{namespace}/{plural}", {"dryRun": "All"}, obj)


def test_the_api_server_admits_the_pods_without_a_warning(cluster, restricted, workload):
    pod = {"metadata": {"name": "x"}, "spec": {**workload["spec"]["template"]["spec"]}}
    pod["spec"].pop("serviceAccountName")  # made by the release, which is not applied here
    dry_run(cluster, restricted, "pods", pod)
    before = len(cluster.warnings)
    dry_run(cluster, restricted, "statefulsets", workload)
    assert list(cluster.warnings)[before:] == []


def test_this_namespace_would_refuse_a_pod_that_needs_more(cluster, restricted, workload):
    pod = {"metadata": {"name": "x"}, "spec": {**workload["spec"]["template"]["spec"], "hostNetwork": True}}
    pod["spec"].pop("serviceAccountName")
    with pytest.raises(ApiError, match="PodSecurity"):
        dry_run(cluster, restricted, "pods", pod)
