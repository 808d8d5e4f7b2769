# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of the role memory_graph: text is what its type says, and what cannot work is refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.filter.roles_of_the_collection import (
    arguments,
    refusal,
)

NEO4J = {"memory_graph_store": "neo4j"}
BROKERS = {**NEO4J, "memory_graph_kafka_bootstrap_servers": ["kafka:9092"]}
MTLS = {"memory_graph_tls": True, "memory_graph_tls_client_auth": True}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown variable": (
        {"memory_graph_replica": 1},
        "memory_graph_replica is not a variable of role memory_graph; did you mean memory_graph_replicas?",
    ),
    "unknown choice": (
        {"memory_graph_store": "sqlite3"},
        "value of memory_graph_store must be one of: embedded, neo4j, got: sqlite3",
    ),
    "another type": (
        {"memory_graph_max_connections": "many"},
        "memory_graph_max_connections is 'many': give a whole number",
    ),
    "unknown key": (
        {"memory_graph_resources": {"request": {"cpu": 1}}},
        "memory_graph_resources.request. Supported parameters include: limits, requests",
    ),
    "no quantity": (
        {"memory_graph_storage_size": "lots"},
        "memory_graph_storage_size is 'lots', which is no quantity: write a number, with a unit of Kubernetes",
    ),
    "no quantity below": (
        {"memory_graph_resources": {"requests": {"cpu": "1OOm"}}, "memory_graph_quota": {"pods": -1}},
        (
            "memory_graph_resources.requests.cpu is '1OOm', which is no quantity: write a number, with a unit of"
            " Kubernetes where it has one, as 10Gi, 500M, 250m or 2 — memory_graph_quota.pods is -1, which is negative"
        ),
    ),
    "counts": (
        {"memory_graph_kafka_max_poll_records": 0, "memory_graph_feed_buffer_events": -5},
        "memory_graph_feed_buffer_events is -5: give 1 or more — memory_graph_kafka_max_poll_records is 0: give 1",
    ),
    "poll": ({"memory_graph_kafka_max_poll_records": 10_001}, "is 10001: give 10000 or less"),
    "one stream has more than all": (
        {"memory_graph_telemetry_stream_bytes": 300_000_000},
        "is 300000000, more than all streams have together, memory_graph_telemetry_buffer_bytes (268435456): raise",
    ),
    "a feed that workers read": (
        {"memory_graph_kafka_events_topic": "llm.prompts.v1"},
        "memory_graph_kafka_events_topic llm.prompts.v1 is one of memory_graph_kafka_topics",
    ),
    "a feed that workers read, with its tenant": (
        {"memory_graph_kafka_events_topic": "feed", "memory_graph_kafka_topics": ["feed = acme"]},
        "memory_graph_kafka_events_topic feed is one of memory_graph_kafka_topics",
    ),
    "two pods over a file": (
        {"memory_graph_replicas": 3},
        "memory_graph_replicas is 3, but the embedded store has one writer: set it to 1",
    ),
    "no pod": ({"memory_graph_replicas": 0}, "memory_graph_replicas is 0, which serves nobody: set it to 1, or take"),
    "most below least": (
        {**NEO4J, "memory_graph_replicas": 4, "memory_graph_replicas_max": 3},
        (
            "memory_graph_replicas is 4 and memory_graph_replicas_max 3: the most cannot be less than the least, raise"
            " the second or lower the first"
        ),
    ),
    "image without a tag": ({"memory_graph_image": "memory-graph"}, "does not say which version runs"),
    "latest": ({"memory_graph_image": "host.invalid:5000/memory-graph:latest"}, "does not say which version runs"),
    "TLS without a Secret": ({"memory_graph_tls": True}, "nothing gives tls.crt, tls.key: set"),
    "TLS without all": (
        {**MTLS, "memory_graph_tls_certificate": "c", "memory_graph_tls_key": "k", "memory_graph_verify": False},
        (
            "nothing gives tls.crt, tls.key, ca.crt: set memory_graph_existing_secret to a Secret that has them, or"
            " memory_graph_tls_certificate, memory_graph_tls_key and memory_graph_tls_client_ca"
        ),
    ),
    "client certificates without TLS": (
        {"memory_graph_tls_client_auth": True},
        "client certificates need TLS, set memory_graph_tls: true",
    ),
    "verification without a certificate": (
        {**MTLS, "memory_graph_existing_secret": "certificate"},
        (
            "memory_graph_tls_client_auth is on, but verification has no certificate to show: set"
            " memory_graph_verify_tls_certificate and memory_graph_verify_tls_key, or memory_graph_verify: false"
        ),
    ),
    "plugins of no image": ({"memory_graph_plugins_source": "image"}, "memory_graph_plugins_image is empty"),
    "workers over a file": (
        {"memory_graph_kafka_bootstrap_servers": ["kafka:9092"]},
        (
            "memory_graph_store is embedded: workers write the graph too, and a file has one process; set"
            " memory_graph_store: neo4j"
        ),
    ),
    "URI with a password": (
        {**NEO4J, "memory_graph_neo4j_uri": "neo4j://neo4j:secret@graph.example:7687"},
        "memory_graph_neo4j_uri is neo4j://…@graph.example:7687: write it like neo4j://graph.example:7687",
    ),
    "CA without TLS": (
        {**NEO4J, "memory_graph_neo4j_ca_secret": "graph-ca"},
        "memory_graph_neo4j_uri bolt://neo4j:7687 checks no certificate: write it with +s",
    ),
    "CA without TLS beside a password": (
        {**NEO4J, "memory_graph_neo4j_uri": "bolt://neo4j:secret@neo4j", "memory_graph_neo4j_ca_secret": "graph-ca"},
        "memory_graph_neo4j_uri bolt://…@neo4j checks no certificate: write it with +s",
    ),
    "broker with a password": (
        {**NEO4J, "memory_graph_kafka_bootstrap_servers": ["graph:secret@kafka:9092"]},
        "memory_graph_kafka_bootstrap_servers has …@kafka:9092: write each like kafka-1.example:9092",
    ),
    "broker without a port": (
        {**NEO4J, "memory_graph_kafka_bootstrap_servers": ["kafka", "kafka-2:9092"]},
        "memory_graph_kafka_bootstrap_servers has kafka: write each like kafka-1.example:9092",
    ),
    "CA of brokers without TLS": (
        {**BROKERS, "memory_graph_kafka_ca_secret": "kafka-ca"},
        "memory_graph_kafka_security_protocol is PLAINTEXT, which checks no certificate",
    ),
    "no workers": ({**NEO4J, "memory_graph_worker_replicas": 0}, "there must be one worker at least"),
    "grace shorter than draining": (
        {"memory_graph_pre_stop_seconds": 0, "memory_graph_drain_seconds": 60},
        "memory_graph_termination_grace_seconds is 30, but a pod takes up to 60 seconds to stop",
    ),
}


@pytest.mark.parametrize(("variables", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(variables: dict[str, Any], sentence: str) -> None:
    refused = refusal("memory_graph", **variables)
    assert sentence in refused
    assert "secret@" not in refused


@pytest.mark.parametrize(
    "variables",
    [
        {},
        NEO4J,
        BROKERS,
        {"memory_graph_image": "registry.example:5000/memory-graph@sha256:0123"},
        {**MTLS, "memory_graph_existing_secret": "certificate", "memory_graph_verify": False},
        {**NEO4J, "memory_graph_neo4j_uri": "neo4j+s://graph.example", "memory_graph_neo4j_ca_secret": "graph-ca"},
    ],
)
def test_accepted(variables: dict[str, Any]) -> None:
    assert refusal("memory_graph", **variables) == ""


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
    "memory_graph_kafka_bootstrap_servers": "kafka-1.example:9093,kafka-2.example:9093",
    "memory_graph_kafka_topics": '["llm.prompts.v1"]',
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
    "memory_graph_kafka_bootstrap_servers": ["kafka-1.example:9093", "kafka-2.example:9093"],
    "memory_graph_kafka_topics": ["llm.prompts.v1"],
}


def test_text_is_what_its_type_says() -> None:
    as_text, as_data = arguments("memory_graph", **AS_TEXT), arguments("memory_graph", **AS_DATA)
    assert as_text == as_data
    assert {f"memory_graph_{name}": as_data[name] for name in as_data if f"memory_graph_{name}" in AS_DATA} == AS_DATA


def test_null_is_the_default() -> None:
    names = ("name", "store", "replicas", "labels", "max_connections", "network_policy", "monitoring_namespaces", "tls")
    nulls = {f"memory_graph_{name}": None for name in names}
    assert arguments("memory_graph", **nulls) == arguments("memory_graph")


@pytest.mark.parametrize("folder", ["", " ", None])
def test_a_required_argument_is_neither_null_nor_empty(folder: str | None) -> None:
    refused = refusal("memory_graph", "render", memory_graph_render_directory=folder)
    assert "missing required arguments: memory_graph_render_directory" in refused


def test_every_argument_of_another_type_is_named_at_once() -> None:
    refused = refusal(
        "memory_graph",
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
        assert sentence in refused
    assert "s3cret" not in refused
