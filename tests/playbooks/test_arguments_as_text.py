"""Variables as the command line and surveys give them: text is what its type says, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

AS_TEXT = {
    "memory_graph_image_pull_secrets": "regcred",
    "memory_graph_client_cidrs": "10.0.0.0/8,192.168.0.0/16",
    "memory_graph_client_namespaces": '["team-a", "team-b"]',
    "memory_graph_monitoring_namespaces": "- monitoring\n- metrics\n",
    "memory_graph_node_selector": '{"disk":"ssd"}',
    "memory_graph_tolerations": '[{"key": "graph", "operator": "Exists"}]',
    "memory_graph_pod_annotations": "example.com/team=graph,example.com/tier=1",
    "memory_graph_resources": "requests: {cpu: 250m}\nlimits:\n  memory: 1Gi\n",
    "memory_graph_max_connections": "7.0",
    "memory_graph_drain_seconds": "5",
    "memory_graph_network_policy": "yes",
    "memory_graph_publish_metrics": "no",
    "memory_graph_create_namespace": "0",
    "memory_graph_verify": "off",
}
AS_DATA = {
    "memory_graph_image_pull_secrets": ["regcred"],
    "memory_graph_client_cidrs": ["10.0.0.0/8", "192.168.0.0/16"],
    "memory_graph_client_namespaces": ["team-a", "team-b"],
    "memory_graph_monitoring_namespaces": ["monitoring", "metrics"],
    "memory_graph_node_selector": {"disk": "ssd"},
    "memory_graph_tolerations": [{"key": "graph", "operator": "Exists"}],
    "memory_graph_pod_annotations": {"example.com/team": "graph", "example.com/tier": "1"},
    "memory_graph_resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "1Gi"}},
    "memory_graph_max_connections": 7,
    "memory_graph_drain_seconds": 5,
    "memory_graph_network_policy": True,
    "memory_graph_publish_metrics": False,
    "memory_graph_create_namespace": False,
    "memory_graph_verify": False,
}


def rendered(playbooks: Any, folder: Path, **variables: Any) -> dict[str, str]:
    result = playbooks.run("render", memory_graph_render_directory=str(folder), **variables)
    assert result.returncode == 0, result.stdout
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_text_is_what_its_type_says(playbooks, tmp_path: Path) -> None:
    assert rendered(playbooks, tmp_path / "text", **AS_TEXT) == rendered(playbooks, tmp_path / "data", **AS_DATA)


def test_null_is_the_default(playbooks, tmp_path: Path) -> None:
    names = ("name", "store", "replicas", "labels", "max_connections", "network_policy", "monitoring_namespaces", "tls")
    nulls = {f"memory_graph_{name}": None for name in names}
    assert rendered(playbooks, tmp_path / "null", **nulls) == rendered(playbooks, tmp_path / "default")


@pytest.mark.parametrize("folder", ["", " ", None])
def test_what_is_required_is_neither_null_nor_empty(playbooks, folder: str | None) -> None:
    said = playbooks.refused("render", memory_graph_render_directory=folder)
    assert "missing required arguments: memory_graph_render_directory" in said


def test_everything_of_another_type_is_named_at_once(playbooks) -> None:
    said = playbooks.refused(
        "render",
        memory_graph_render_directory="/nonexistent/never-made",
        memory_graph_node_selector="ssd",
        memory_graph_tolerations="graph",
        memory_graph_tls="maybe",
        memory_graph_replicas="1.5",
        memory_graph_tls_key=["s3cret"],
        memory_graph_service_node_port="",
    )
    for sentence in (
        """memory_graph_node_selector is 'ssd': give a mapping, as {"key": "value"}""",
        """memory_graph_tolerations is 'graph': give a list""",
        "memory_graph_tls is 'maybe': give true or false",
        "memory_graph_replicas is '1.5': give a whole number",
        "memory_graph_tls_key is of another type: give a text",
        "memory_graph_service_node_port is empty: give a whole number",
    ):
        assert sentence in said
    assert "s3cret" not in said


def test_topics_of_the_brokers_may_be_text(playbooks, tmp_path: Path) -> None:
    playbooks.inventory = "inventories/production"
    brokers = "kafka-1.example:9093,kafka-2.example:9093"
    topics = {"memory_graph_kafka_topics": '["llm.prompts.v1"]'}
    objects = rendered(playbooks, tmp_path, memory_graph_kafka_bootstrap_servers=brokers, **topics)
    settings = yaml.safe_load(objects["configmap-memory-graph-config.yaml"])["data"]
    assert settings["KAFKA_BOOTSTRAP_SERVERS"] == brokers
    assert settings["KAFKA_TOPICS"] == "llm.prompts.v1"
