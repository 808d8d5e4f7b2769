"""A deployment from the installed tarball alone: no path of the checkout is used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

SITE = """
- name: Deploy
  hosts: memory_graph
  gather_facts: false
  roles:
    - role: llm_devops.memory_graph.memory_graph
"""
TEARDOWN = """
- name: Tear down
  hosts: memory_graph
  gather_facts: false
  tasks:
    - name: Tear down
      ansible.builtin.include_role:
        name: llm_devops.memory_graph.memory_graph
        tasks_from: teardown
"""


@pytest.fixture
def site(installed: Path, namespace: str, image: str) -> Path:
    """A folder with two playbooks and the variables of a release of its own."""
    (installed / "site.yml").write_text(SITE)
    (installed / "teardown.yml").write_text(TEARDOWN)
    variables = {
        "memory_graph_name": "elsewhere",
        "memory_graph_namespace": namespace,
        "memory_graph_image": image,
        "memory_graph_service_type": "ClusterIP",
        "memory_graph_storage_size": "1Gi",
        "memory_graph_resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "memory_graph_pre_stop_seconds": 0,
        "memory_graph_teardown_delete_data": True,
    }
    (installed / "variables.yml").write_text(yaml.safe_dump(variables))
    return installed


def count_changed(output: str) -> int:
    """Return the number of changed tasks of the only host, from the recap."""
    (count,) = re.findall(r"^local\s.*changed=(\d+)", output, re.MULTILINE)
    return int(count)


def test_it_deploys_says_unchanged_the_second_time_and_goes(site, cluster, namespace, collection, tool):
    listing = tool(site, "ansible-galaxy", "collection", "list", "--format", "json")
    paths = [
        path for path, names in json.loads(listing[listing.index("{") :]).items() if "llm_devops.memory_graph" in names
    ]
    assert paths == [str(site / "collections/ansible_collections")]

    play = ("ansible-playbook", "-i", "inventory.yml", "-e", "@variables.yml")
    first = tool(site, *play, "site.yml", "-v")
    assert count_changed(first) > 0
    assert str(collection.parents[3]) not in first.replace(str(collection.parents[3] / ".venv"), "")
    pods = cluster.list(f"/api/v1/namespaces/{namespace}/pods")
    assert [pod["metadata"]["name"] for pod in pods] == ["elsewhere-0"]

    assert count_changed(tool(site, *play, "site.yml")) == 0

    assert count_changed(tool(site, *play, "teardown.yml")) > 0
    assert namespace not in {item["metadata"]["name"] for item in cluster.list("/api/v1/namespaces")}
