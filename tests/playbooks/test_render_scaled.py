"""The rendered objects where pods share a database: nothing is kept in them, they scale, and there are workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from memory_graph.config import Settings

Objects = dict[str, dict[str, Any]]
SCALED = {"memory_graph_store": "neo4j", "memory_graph_kafka_bootstrap_servers": ["kafka.streams.svc:9092"]}
SECURE = {
    **SCALED,
    "memory_graph_neo4j_uri": "neo4j+s://graph.example",
    "memory_graph_neo4j_ca_secret": "graph-ca",
    "memory_graph_neo4j_cidrs": ["192.0.2.7/32"],
    "memory_graph_kafka_bootstrap_servers": ["kafka-1.example:9093", "kafka-2.example:9094"],
    "memory_graph_kafka_security_protocol": "SASL_SSL",
    "memory_graph_kafka_ca_secret": "kafka-ca",
}


_RENDERED: dict[str, Objects] = {}
"""By variables: the same ones give the same objects."""


@pytest.fixture
def objects(playbooks, tmp_path) -> Callable[..., Objects]:
    """Renders, and gives the objects by kind and name."""

    def rendered(**variables: Any) -> Objects:
        key = json.dumps(variables, sort_keys=True)
        if key not in _RENDERED:
            done = playbooks.run("render", memory_graph_render_directory=str(tmp_path / "objects"), **variables)
            assert done.returncode == 0, done.stdout
            listed = yaml.safe_load((tmp_path / "objects/kustomization.yaml").read_text())["resources"]
            manifests = [yaml.safe_load((tmp_path / "objects" / name).read_text()) for name in listed]
            _RENDERED[key] = {f"{item['kind']}/{item['metadata']['name']}": item for item in manifests}
        return _RENDERED[key]

    return rendered


def pod(objects: Objects, name: str = "memory-graph") -> dict[str, Any]:
    return objects[f"Deployment/{name}"]["spec"]["template"]["spec"]


def egress(objects: Objects, name: str = "memory-graph") -> list[dict[str, Any]]:
    """Return the rules of egress of a policy beside DNS."""
    rules = objects[f"NetworkPolicy/{name}"]["spec"]["egress"]
    return [rule for rule in rules if not {entry["port"] for entry in rule["ports"]} <= {53, 5353}]


def test_pods_that_share_a_database_keep_nothing_and_scale(objects) -> None:
    manifests = objects(**SCALED)
    assert not [name for name in manifests if name.startswith(("StatefulSet/", "PersistentVolumeClaim/"))]
    assert not [entry for entry in pod(manifests)["volumes"] if "persistentVolumeClaim" in entry]
    assert "DB_PATH" not in manifests["ConfigMap/memory-graph-config"]["data"]
    for name, least, most, remaining in (("memory-graph", 3, 10, 2), ("memory-graph-worker", 2, 15, 1)):
        assert "replicas" not in manifests[f"Deployment/{name}"]["spec"], "a release would undo what the autoscaler did"
        scaler = manifests[f"HorizontalPodAutoscaler/{name}"]["spec"]
        assert (scaler["minReplicas"], scaler["maxReplicas"]) == (least, most)
        assert manifests[f"PodDisruptionBudget/{name}"]["spec"]["minAvailable"] == remaining
        assert {entry["topologyKey"] for entry in pod(manifests, name)["topologySpreadConstraints"]} == {
            "topology.kubernetes.io/zone", "kubernetes.io/hostname",
        }  # fmt: skip


def test_a_database_that_is_away_restarts_nothing(objects) -> None:
    manifests = objects(**SCALED)
    (container,) = pod(manifests)["containers"]
    (worker,) = pod(manifests, "memory-graph-worker")["containers"]
    assert container["startupProbe"]["grpc"] == container["livenessProbe"]["grpc"]
    assert container["readinessProbe"]["grpc"] == {"port": 50051}
    assert worker["startupProbe"]["httpGet"] == worker["livenessProbe"]["httpGet"]
    assert worker["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": 9090}
    assert worker["args"] == ["worker"]


@pytest.mark.parametrize("variables", [SCALED, SECURE, {}], ids=["plain", "secure", "embedded"])
def test_the_service_reads_every_setting(objects, variables: dict[str, Any]) -> None:
    manifests = objects(**variables)
    actual = set(manifests["ConfigMap/memory-graph-config"]["data"])
    assert actual <= {name.upper() for name in Settings.model_fields}
    assert {"TELEMETRY_BUFFER_BYTES", "STORE"} <= actual
    assert ("KAFKA_TOPICS" in actual) is ("NEO4J_URI" in actual) is bool(variables)


def test_passwords_come_from_secrets_and_are_in_no_setting(objects) -> None:
    manifests = objects(**SECURE)
    settings = manifests["ConfigMap/memory-graph-config"]["data"]
    assert settings["NEO4J_PASSWORD_FILE"] == "/neo4j/password"
    assert settings["KAFKA_SASL_PASSWORD_FILE"] == "/kafka/password"
    assert settings["KAFKA_CA_FILE"] == "/kafka-ca/ca.crt"
    for name in ("memory-graph", "memory-graph-worker"):
        (container,) = pod(manifests, name)["containers"]
        secrets = {
            entry["name"]: entry["secret"]["secretName"]
            for entry in pod(manifests, name)["volumes"]
            if "secret" in entry
        }
        mounted = {entry["mountPath"]: secrets.get(entry["name"]) for entry in container["volumeMounts"]}
        assert mounted == {
            "/tmp": None, "/neo4j": "neo4j-credentials", "/neo4j-ca": "graph-ca",
            "/kafka": "kafka-credentials", "/kafka-ca": "kafka-ca",
        }  # fmt: skip
        actual = {
            entry["name"]: entry.get("value", entry.get("valueFrom", {}).get("secretKeyRef"))
            for entry in container["env"]
        }
        assert actual == {
            "SSL_CERT_FILE": "/neo4j-ca/ca.crt",
            "NEO4J_USERNAME": {"name": "neo4j-credentials", "key": "username"},
            "KAFKA_SASL_USERNAME": {"name": "kafka-credentials", "key": "username"},
        }


def test_pods_reach_the_database_and_the_brokers_and_nothing_else(objects) -> None:
    """A Service is reached in its namespace, what is outside of the cluster at its addresses."""
    manifests = objects(**SCALED)
    for name in ("memory-graph", "memory-graph-worker"):
        existing = [
            (rule["ports"][0]["port"], rule["to"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])
            for rule in egress(manifests, name)
        ]
        extra = manifests["Deployment/memory-graph"]["metadata"]["namespace"]
        assert existing == [(7687, extra), (9092, "streams")]
    existing = [(rule["ports"][0]["port"], rule["to"]) for rule in egress(objects(**SECURE))]
    assert existing == [(7687, [{"ipBlock": {"cidr": "192.0.2.7/32"}}]), (9093, []), (9094, [])]


def test_workers_take_no_traffic(objects) -> None:
    manifests = objects(**SCALED)
    ((rule),) = manifests["NetworkPolicy/memory-graph-worker"]["spec"]["ingress"]
    assert [entry["port"] for entry in rule["ports"]] == [9090]
    labels = manifests["Deployment/memory-graph-worker"]["spec"]["template"]["metadata"]["labels"]
    services = [item["spec"]["selector"] for name, item in manifests.items() if name.startswith("Service/")]
    assert services
    assert not [entry for entry in services if entry.items() <= labels.items()]


@pytest.mark.parametrize(("key", "lag"), [("always", ["10000"]), ("never", []), ("auto", [])])
def test_workers_scale_on_lag_where_something_serves_it(objects, key: str, lag: list[str]) -> None:
    manifests = objects(**SCALED, memory_graph_external_metrics=key)
    metrics = manifests["HorizontalPodAutoscaler/memory-graph-worker"]["spec"]["metrics"]
    external = [entry["external"] for entry in metrics if entry["type"] == "External"]
    assert [entry["target"]["averageValue"] for entry in external] == lag
    assert {entry["metric"]["name"] for entry in external} <= {"llm_memory_graph_kafka_lag_messages"}


@pytest.mark.parametrize(
    ("served", "lag"),
    [(["apps"], []), (["external.metrics.k8s.io"], ["10000"]), (["external.metrics.k8s.io", "keda.sh"], [])],
)
def test_workers_scale_on_lag_where_the_cluster_answers_any_autoscaler(objects, served: list[str], lag: list) -> None:
    """KEDA answers its own alone; an autoscaler with a metric that nobody answers never scales down."""
    manifests = objects(**SCALED, memory_graph_external_metrics="auto", __memory_graph_apis={"groups": served})
    metrics = manifests["HorizontalPodAutoscaler/memory-graph-worker"]["spec"]["metrics"]
    assert [entry["external"]["target"]["averageValue"] for entry in metrics if entry["type"] == "External"] == lag
