# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of the roles neo4j and kafka that cannot work, each refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.filter.roles_of_the_collection import refusal

BROKERS = {"kafka_bootstrap_servers": ["kafka.example:9093"]}
CLUSTER = {"neo4j_mode": "cluster", "neo4j_image": "graphstack/dozerdb:5.26.3"}

NEO4J: dict[str, tuple[dict[str, Any], str]] = {
    "mode": ({"neo4j_mode": "sinlge"}, "neo4j_mode must be one of: external, single, cluster"),
    "no URI": ({"neo4j_mode": "external"}, "neo4j_mode is external, but neo4j_uri is empty: name the database, as"),
    "scheme": (
        {"neo4j_mode": "external", "neo4j_uri": "http://graph:secret@graph.example:7687"},
        "neo4j_uri is http://…@graph.example:7687: write it like neo4j+s://db.example:7687, without user",
    ),
    "URI of a deployed one": (
        {"neo4j_uri": "bolt://x"},
        "neo4j_uri bolt://x is for neo4j_mode external, and neo4j_mode is single: take one of them out",
    ),
    "heap": ({"neo4j_heap_size": "1 GB"}, "neo4j_heap_size is 1 GB and"),
    "no quantity": (
        {"neo4j_storage_size": "lots"},
        "neo4j_storage_size is 'lots', which is no quantity: write a number",
    ),
    "community": (
        {"neo4j_mode": "cluster"},
        "neo4j_mode is cluster, but neo4j_image neo4j:5.26.30-community is Neo4j Community, which runs as one server",
    ),
    "even": ({**CLUSTER, "neo4j_members": 4}, "neo4j_members is 4, of which no majority outlives one that dies"),
    "few": ({**CLUSTER, "neo4j_members": 1}, "neo4j_members is 1, of which no majority outlives one that dies"),
    "licence": (
        {"neo4j_image": "neo4j:5.26.30-enterprise"},
        "is Neo4j Enterprise, which starts for those alone who accepted its licence: set neo4j_license to accepted or",
    ),
    "latest": ({"neo4j_image": "neo4j:latest"}, "neo4j_image neo4j:latest does not say which version runs"),
}
KAFKA: dict[str, tuple[dict[str, Any], str]] = {
    "mode": (
        {"kafka_mode": "strimzy"},
        "value of kafka_mode must be one of: external, strimzi, single, got: strimzy",
    ),
    "no quantity below": (
        {**BROKERS, "kafka_resources": {"limits": {"memory": "2 Gi"}}},
        "kafka_resources.limits.memory is '2 Gi', which is no quantity",
    ),
    "no brokers": ({}, "kafka_mode is external, but kafka_bootstrap_servers is empty: name brokers"),
    "port": (
        {"kafka_bootstrap_servers": ["kafka.example", "kafka-2.example:9093"]},
        "kafka_bootstrap_servers has kafka.example: write each like kafka-1.example:9093",
    ),
    "copies": ({**BROKERS, "kafka_replication_factor": 0}, "kafka_replication_factor is 0: give 1 or more"),
    "more copies than brokers": (
        {"kafka_mode": "strimzi", "kafka_brokers": 2},
        "kafka_replication_factor is 3, but kafka_brokers is 2: a broker keeps one copy of a record, so raise",
    ),
    "partitions": (
        {**BROKERS, "kafka_topics": [{"name": "llm.prompts.v1", "partitions": 0, "retention_days": 7}]},
        "kafka_topics has llm.prompts.v1 with less than 1 partition or 1 day",
    ),
    "heap": ({"kafka_mode": "single", "kafka_heap_size": "1 GB"}, "kafka_heap_size is 1 GB: write it as Java does"),
    "brokers of a deployed one": (
        {**BROKERS, "kafka_mode": "single"},
        "kafka_bootstrap_servers are for kafka_mode external, and kafka_mode is single: take one of them out",
    ),
    "image": ({"kafka_mode": "single", "kafka_image": "apache/kafka"}, "kafka_image apache/kafka does not say which"),
}


@pytest.mark.parametrize(("variables", "sentence"), NEO4J.values(), ids=NEO4J)
def test_neo4j_refuses(variables: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal("neo4j", **variables)


@pytest.mark.parametrize(("variables", "sentence"), KAFKA.values(), ids=KAFKA)
def test_kafka_refuses(variables: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal("kafka", **variables)


@pytest.mark.parametrize(
    ("role", "variables"),
    [
        ("neo4j", {}),
        ("neo4j", CLUSTER),
        ("neo4j", {"neo4j_mode": "external", "neo4j_uri": "neo4j+s://db.example:7687"}),
        ("neo4j", {"neo4j_image": "neo4j:5.26.30-enterprise", "neo4j_license": "evaluation"}),
        ("kafka", BROKERS),
        ("kafka", {"kafka_mode": "strimzi"}),
        ("kafka", {"kafka_mode": "single"}),
    ],
)
def test_accepted(role: str, variables: dict[str, Any]) -> None:
    assert refusal(role, **variables) == ""
