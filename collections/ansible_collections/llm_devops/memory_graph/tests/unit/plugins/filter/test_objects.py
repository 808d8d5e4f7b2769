# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of Kubernetes objects, as templates write them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.filter.autoscaling import (
    autoscaling_metrics,
    autoscaling_rules,
)
from ansible_collections.llm_devops.memory_graph.plugins.filter.container_probe import container_probe
from ansible_collections.llm_devops.memory_graph.plugins.filter.egress_peers import egress_peers
from ansible_collections.llm_devops.memory_graph.plugins.filter.image_version import image_version
from ansible_collections.llm_devops.memory_graph.plugins.filter.kafka_topic_configs import kafka_topic_configs
from ansible_collections.llm_devops.memory_graph.plugins.filter.neo4j_members import (
    neo4j_claims,
    neo4j_member_services,
    neo4j_workloads,
)
from ansible_collections.llm_devops.memory_graph.plugins.filter.network_policy_rules import network_policy_rules
from ansible_collections.llm_devops.memory_graph.plugins.filter.volume_mounts import volume_mounts

CIDRS = ["192.0.2.0/28"]


@pytest.mark.parametrize(
    ("server", "port", "namespaces", "cidrs"),
    [
        ("kafka", 9092, ["team-a"], []),
        ("kafka:9095", 9095, ["team-a"], []),
        ("kafka.streams.svc:9095", 9095, ["streams"], []),
        ("kafka.streams.svc.cluster.local", 9092, ["streams"], []),
        ("kafka.example:9093", 9093, [], CIDRS),
        ("kafka.example", 9092, [], CIDRS),
        ("10.1.2.3:9092", 9092, [], CIDRS),
        ("[2001:db8::1]:9093", 9093, [], CIDRS),
    ],
)
def test_where_a_server_is(server: str, port: int, namespaces: list[str], cidrs: list[str]) -> None:
    peer = {"ports": [port], "namespaces": namespaces, "cidrs": cidrs}
    assert egress_peers([server, server], "team-a", 9092, CIDRS) == [peer]


def test_a_rule_of_ingress_that_names_nobody_is_left_out() -> None:
    nobody = {"ports": [1], "namespaces": [], "cidrs": []}
    somebody = {"ports": [1, 2], "namespaces": ["a"], "cidrs": ["10.0.0.0/8"]}
    assert network_policy_rules([nobody, somebody], "ingress") == [
        {
            "from": [
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "a"}}},
                {"ipBlock": {"cidr": "10.0.0.0/8"}},
            ],
            "ports": [{"port": 1, "protocol": "TCP"}, {"port": 2, "protocol": "TCP"}],
        }
    ]


def test_a_rule_of_egress_that_names_nobody_is_for_everywhere() -> None:
    anywhere = {"ports": [53], "namespaces": [], "cidrs": []}
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    assert network_policy_rules([anywhere], "egress", ["UDP", "TCP"]) == [{"to": [], "ports": ports}]


TIMING = {"period_seconds": 5, "timeout_seconds": 3, "failure_threshold": 2}


@pytest.mark.parametrize(
    ("probe", "handler"),
    [
        ({"grpc_port": 50051, "grpc_service": ""}, {"grpc": {"port": 50051}}),
        ({"grpc_port": 50051, "grpc_service": "liveness"}, {"grpc": {"port": 50051, "service": "liveness"}}),
        ({"http": {"path": "/healthz", "port": 9090}}, {"httpGet": {"path": "/healthz", "port": 9090}}),
        ({"tcp_port": 9092}, {"tcpSocket": {"port": 9092}}),
    ],
)
def test_a_probe(probe: dict[str, Any], handler: dict[str, Any]) -> None:
    timing = {"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2}
    assert container_probe(probe | TIMING) == handler | timing


def test_mounts() -> None:
    volumes = [{"name": "a", "mount_path": "/a", "read_only": True, "secret": "s"}, {"name": "b", "mount_path": "/b"}]
    assert volume_mounts(volumes) == [
        {"name": "a", "mountPath": "/a", "readOnly": True},
        {"name": "b", "mountPath": "/b"},
    ]


def test_metrics_of_an_autoscaler() -> None:
    metrics = [
        {"resource": "cpu", "average_value": "70"},
        {"external": "lag", "average_value": "10000"},
        {"external": "queue", "average_value": "500m", "labels": {"queue": "a"}},
    ]
    resource, lag, queue = autoscaling_metrics(metrics)
    target = {"type": "Utilization", "averageUtilization": 70}
    assert resource == {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    target = {"type": "AverageValue", "averageValue": "10000"}
    assert lag == {"type": "External", "external": {"metric": {"name": "lag"}, "target": target}}
    assert queue["external"]["metric"] == {"name": "queue", "selector": {"matchLabels": {"queue": "a"}}}


def test_rules_of_an_autoscaler() -> None:
    policies = [{"type": "Percent", "value": 50}]
    rules = {"period_seconds": 60, "window_seconds": 300, "select": "Min", "policies": policies}
    assert autoscaling_rules(rules) == {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Min",
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
    }


def test_members_of_a_database() -> None:
    (claim,) = neo4j_claims(["neo4j"], "1Gi", "fast")
    assert claim == {"name": "neo4j-data", "size": "1Gi", "access_modes": ["ReadWriteOnce"], "storage_class": "fast"}
    common = {"image": "neo4j:5", "env": {"A": "1"}, "volumes": [{"name": "tmp", "mount_path": "/tmp"}]}
    (single,) = neo4j_workloads(["neo4j"], common, "graphs", clustered=False)
    assert single == {
        "image": "neo4j:5",
        "name": "neo4j",
        "service_name": "neo4j-headless",
        "env": {"ADVERTISED_ADDRESS": "neo4j.graphs.svc", "A": "1"},
        "volumes": [{"name": "data", "mount_path": "/data", "claim": "neo4j-data"}, *common["volumes"]],
    }
    members = neo4j_workloads(["neo4j-1", "neo4j-2"], common, "graphs", clustered=True)
    assert [member["service_name"] for member in members] == ["neo4j-1", "neo4j-2"]
    assert neo4j_member_services(["neo4j-1"], "neo4j", {"bolt": 7687}) == [
        {
            "name": "neo4j-1",
            "type": "Headless",
            "publish_not_ready": True,
            "ports": {"bolt": 7687},
            "selector": {"app.kubernetes.io/name": "neo4j-1", "app.kubernetes.io/instance": "neo4j"},
        }
    ]


def test_configs_of_topics() -> None:
    topics = [
        {"name": "a", "retention_days": 7},
        {"name": "b", "retention_days": 1, "configs": {"retention.ms": 5, "cleanup.policy": "compact"}},
    ]
    assert kafka_topic_configs(topics, 2) == {
        "a": {"retention.ms": 604_800_000, "min.insync.replicas": 2},
        "b": {"retention.ms": 5, "min.insync.replicas": 2, "cleanup.policy": "compact"},
    }


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("registry.example:5000/team/memory-graph:0.1.0-3f2a", "0.1.0"),
        ("memory-graph:0.1.0@sha256:0123", "0.1.0"),
        ("registry.example:5000/memory-graph", "unknown"),
    ],
)
def test_the_version_of_an_image(reference: str, version: str) -> None:
    assert image_version(reference) == version
