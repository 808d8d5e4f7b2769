"""What can be refused without asking a cluster: one sentence each, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        pytest.param(
            {"memory_graph_replica": 1},
            "memory_graph_replica is not a variable of role memory_graph; did you mean memory_graph_replicas?",
            id="unknown-variable",
        ),
        pytest.param(
            {"memory_graph_store": "sqlite3"},
            "value of memory_graph_store must be one of: embedded, neo4j, got: sqlite3",
            id="unknown-choice",
        ),
        pytest.param(
            {"memory_graph_max_connections": "many"},
            "memory_graph_max_connections is 'many': give a whole number",
            id="mistyped",
        ),
        pytest.param(
            {"memory_graph_resources": {"request": {"cpu": 1}}},
            "memory_graph_resources.request. Supported parameters include: limits, requests",
            id="unknown-key",
        ),
        pytest.param(
            {"memory_graph_storage_size": "lots"},
            "memory_graph_storage_size is 'lots', which is no quantity: write a number, with a unit of Kubernetes",
            id="no-quantity",
        ),
        pytest.param(
            {"memory_graph_resources": {"requests": {"cpu": "1OOm"}}, "memory_graph_quota": {"pods": -1}},
            "memory_graph_resources.requests.cpu is '1OOm', which is no quantity: write a number, with a unit of"
            " Kubernetes where it has one, as 10Gi, 500M, 250m or 2 — memory_graph_quota.pods is -1, which is negative",
            id="no-quantity-below",
        ),
        pytest.param(
            {"memory_graph_replicas": 3},
            "memory_graph_replicas is 3, but the embedded store has one writer: set it to 1",
            id="replicas",
        ),
        pytest.param({"memory_graph_image": "memory-graph"}, "does not say which version runs", id="image-without-tag"),
        pytest.param(
            {"memory_graph_image": "host.invalid:5000/memory-graph:latest"},
            "does not say which version runs",
            id="latest",
        ),
        pytest.param({"memory_graph_tls": True}, "nothing gives tls.crt, tls.key: set", id="tls-without-secret"),
        pytest.param(
            {"memory_graph_tls_client_auth": True},
            "client certificates need TLS, set memory_graph_tls: true",
            id="mtls",
        ),
        pytest.param(
            {"memory_graph_plugins_source": "image"}, "memory_graph_plugins_image is empty", id="plugins-without-image"
        ),
        pytest.param(
            {"memory_graph_kafka_bootstrap_servers": ["kafka:9092"]},
            "memory_graph_store is embedded: workers write the graph too, and a file has one process; set"
            " memory_graph_store: neo4j",
            id="workers-beside-the-embedded-store",
        ),
        pytest.param(
            {"memory_graph_store": "neo4j", "memory_graph_neo4j_uri": "neo4j://neo4j:secret@graph.example:7687"},
            "memory_graph_neo4j_uri is neo4j://…@graph.example:7687: write it like neo4j://graph.example:7687",
            id="neo4j-uri",
        ),
        pytest.param(
            {"memory_graph_store": "neo4j", "memory_graph_neo4j_ca_secret": "graph-ca"},
            "memory_graph_neo4j_uri bolt://neo4j:7687 checks no certificate: write it with +s",
            id="ca-without-tls",
        ),
        pytest.param(
            {"memory_graph_store": "neo4j", "memory_graph_replicas": 4, "memory_graph_replicas_max": 3},
            "the most cannot be less than the least",
            id="most-below-least",
        ),
        pytest.param(
            {"memory_graph_store": "neo4j", "memory_graph_kafka_bootstrap_servers": ["kafka", "kafka-2:9092"]},
            "memory_graph_kafka_bootstrap_servers has kafka: write each like kafka-1.example:9092",
            id="broker-without-port",
        ),
        pytest.param(
            {
                "memory_graph_store": "neo4j",
                "memory_graph_kafka_bootstrap_servers": ["kafka:9092"],
                "memory_graph_kafka_ca_secret": "kafka-ca",
            },
            "memory_graph_kafka_security_protocol is PLAINTEXT, which checks no certificate",
            id="kafka-ca-without-tls",
        ),
        pytest.param(
            {"memory_graph_store": "neo4j", "memory_graph_worker_replicas": 0},
            "there must be one worker at least",
            id="no-workers",
        ),
        pytest.param(
            {"memory_graph_drain_seconds": 60}, "a pod takes up to 60 seconds to stop", id="grace-shorter-than-drain"
        ),
    ],
)
def test_refused(playbooks, variables: dict[str, object], sentence: str) -> None:
    assert sentence in playbooks.refused("render", memory_graph_render_directory="/nonexistent/never-made", **variables)


def test_a_quantity_that_is_none_is_refused_before_a_cluster_is_made(playbooks, tmp_path: Path) -> None:
    playbooks.environment = {"KUBECONFIG": str(tmp_path / "none"), "DOCKER_HOST": f"unix://{tmp_path}/no-docker"}
    said = playbooks.refused("local", memory_graph_storage_size="lots")
    assert "memory_graph_storage_size is 'lots', which is no quantity" in said
    assert "no-docker" not in said
