"""What a person may get wrong in inventories/production: each ends in a sentence, before any cluster is asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

NOBODY = {"memory_graph_kubeconfig": "/nonexistent/kubeconfig"}
"""Whoever asked a cluster would fail by this."""


@pytest.fixture
def production(playbooks):
    playbooks.inventory = "inventories/production"
    return playbooks


@pytest.mark.parametrize("name", ["preflight", "diff", "deploy", "permissions"])
def test_every_playbook_looks_at_what_is_said_of_the_brokers_first(production, name: str) -> None:
    said = production.refused(name, kafka_mode="strimzy", **NOBODY)
    assert "value of kafka_mode must be one of: external, strimzi, single, got: strimzy" in said
    assert "nonexistent" not in said


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        pytest.param({"neo4j_mode": "sinlge"}, "neo4j_mode must be one of: external, single, cluster", id="mode"),
        pytest.param(
            {"neo4j_uri": "http://graph:secret@graph.example:7687"},
            "neo4j_uri is http://…@graph.example:7687: write it like neo4j+s://db.example:7687, without user",
            id="scheme",
        ),
        pytest.param({"neo4j_mode": "single", "neo4j_heap_size": "1 GB"}, "neo4j_heap_size is 1 GB and", id="heap"),
        pytest.param(
            {"neo4j_storage_size": "lots", "neo4j_mode": "single", "neo4j_uri": ""},
            "neo4j_storage_size is 'lots', which is no quantity: write a number",
            id="no-quantity",
        ),
        pytest.param(
            {"kafka_resources": {"limits": {"memory": "2 Gi"}}},
            "kafka_resources.limits.memory is '2 Gi', which is no quantity",
            id="no-quantity-below",
        ),
        pytest.param(
            {"kafka_bootstrap_servers": []},
            "kafka_mode is external, but kafka_bootstrap_servers is empty: name brokers",
            id="no-brokers",
        ),
        pytest.param(
            {"kafka_bootstrap_servers": ["kafka.example", "kafka-2.example:9093"]},
            "kafka_bootstrap_servers has kafka.example: write each like kafka-1.example:9093",
            id="port",
        ),
        pytest.param({"kafka_replication_factor": 0}, "kafka_replication_factor is 0: give 1 or more", id="copies"),
        pytest.param(
            {"kafka_topics": [{"name": "llm.prompts.v1", "partitions": 0, "retention_days": 7}]},
            "kafka_topics has llm.prompts.v1 with less than 1 partition or 1 day",
            id="partitions",
        ),
        pytest.param(
            {"memory_graph_worker_replicas_max": 60},
            "memory_graph_worker_replicas_max is 60, but the topics they read have 40 partitions together",
            id="more-workers-than-partitions",
        ),
        pytest.param(
            {"memory_graph_replicas": 20}, "the most cannot be less than the least, raise the second", id="replicas"
        ),
        pytest.param(
            {"memory_graph_kafka_max_poll_records": 0, "memory_graph_feed_buffer_events": -5},
            "memory_graph_feed_buffer_events is -5: give 1 or more — memory_graph_kafka_max_poll_records is 0: give 1",
            id="counts",
        ),
        pytest.param(
            {"kafka_events_topic": "llm.prompts.v1"},
            "memory_graph_kafka_events_topic llm.prompts.v1 is one of memory_graph_kafka_topics",
            id="feed-of-its-own",
        ),
    ],
)
def test_a_deployment_is_refused_before_it_begins(production, variables: dict[str, object], sentence: str) -> None:
    said = production.refused("deploy", **variables, **NOBODY)
    assert sentence in said
    assert len(re.findall("failed ", said)) == 1, said
    assert "nonexistent" not in said


def test_the_feed_has_one_name(production, tmp_path: Path) -> None:
    rendered = production.run("render", memory_graph_render_directory=str(tmp_path), kafka_events_topic="acme.changes")
    assert rendered.returncode == 0, rendered.stdout
    objects = [yaml.safe_load(file.read_text()) for file in tmp_path.glob("*.yaml")]
    (settings,) = (item["data"] for item in objects if item["kind"] == "ConfigMap")
    assert settings["KAFKA_EVENTS_TOPIC"] == "acme.changes"
