"""The rendered objects, read from files: no cluster is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml


def probes(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the handler of each probe of the workload, without its timing."""
    (container,) = yaml.safe_load((folder / "statefulset-memory-graph.yaml").read_text())["spec"]["template"]["spec"][
        "containers"
    ]
    timing = {"periodSeconds", "timeoutSeconds", "failureThreshold"}
    return {
        name.removesuffix("Probe"): {key: value for key, value in probe.items() if key not in timing}
        for name, probe in container.items()
        if name.endswith("Probe")
    }


PLAIN = {"grpc": {"port": 50051}}
READY = {"httpGet": {"path": "/healthz", "port": 9090}}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"startup": PLAIN, "readiness": PLAIN, "liveness": {"grpc": {"port": 50051, "service": "liveness"}}}),
        (
            {"memory_graph_tls": True, "memory_graph_existing_secret": "graph-certificate"},
            {"startup": READY, "readiness": READY, "liveness": {"httpGet": {"path": "/metrics", "port": 9090}}},
        ),
    ],
    ids=["plain", "TLS"],
)
def test_a_full_store_takes_traffic_away_and_restarts_nothing(playbooks, tmp_path, variables, expected) -> None:
    rendered = playbooks.run("render", memory_graph_render_directory=str(tmp_path / "objects"), **variables)
    assert rendered.returncode == 0, rendered.stdout
    assert probes(tmp_path / "objects") == expected


KUBERNETES = ("1.27", "1.31", "1.34", "1.37")
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "TLS by variables": {
        "memory_graph_tls": True, "memory_graph_tls_certificate": "certificate-in-clear",
        "memory_graph_tls_key": "key-in-clear",
    },
    "mTLS from a Secret": {
        "memory_graph_tls": True, "memory_graph_tls_client_auth": True, "memory_graph_verify": False,
        "memory_graph_existing_secret": "certificate",
    },
    "nobody's NetworkPolicy": {"memory_graph_network_policy": False, "memory_graph_create_namespace": False},
    "quota and limits": {
        "memory_graph_quota": {"requests.cpu": "10", "limits.memory": "20Gi", "persistentvolumeclaims": 5},
        "memory_graph_limits": {
            "min": {"cpu": "100m"}, "max": {"cpu": "2"}, "default": {"memory": "1Gi"},
            "default_request": {"memory": "128Mi"},
        },
    },
    "NodePort": {
        "memory_graph_service_type": "NodePort", "memory_graph_service_node_port": 30051,
        "memory_graph_publish_metrics": True,
    },
    "LoadBalancer": {
        "memory_graph_service_type": "LoadBalancer", "memory_graph_client_cidrs": ["192.0.2.0/24"],
        "memory_graph_client_namespaces": ["apps"],
        "memory_graph_service_annotations": {"example.com/scheme": "internal"},
    },
    "plugins from a claim": {
        "memory_graph_plugins_source": "claim", "memory_graph_otlp_endpoint": "http://collector.monitoring:4317",
    },
    "plugins from an image, placed": {
        "memory_graph_plugins_source": "image", "memory_graph_plugins_image": "plugins:1",
        "memory_graph_image_pull_secrets": ["registry"], "memory_graph_node_selector": {"disk": "fast"},
        "memory_graph_tolerations": [{"key": "graph", "operator": "Exists"}], "memory_graph_priority_class": "high",
        "memory_graph_pod_annotations": {"example.com/team": "graph"}, "memory_graph_labels": {"team": "graph"},
    },
    "Neo4j": {"memory_graph_store": "neo4j"},
    "Neo4j with a certificate, asking for no user, and a fixed number of pods": {
        "memory_graph_store": "neo4j", "memory_graph_neo4j_uri": "neo4j+s://graph.example",
        "memory_graph_neo4j_secret": "", "memory_graph_neo4j_ca_secret": "graph-ca",
        "memory_graph_neo4j_cidrs": ["192.0.2.7/32"], "memory_graph_replicas": 2, "memory_graph_replicas_max": 2,
    },
    "Neo4j and Kafka": {"memory_graph_store": "neo4j", "memory_graph_kafka_bootstrap_servers": ["kafka:9092"]},
    "Kafka with SASL, and workers that scale on lag": {
        "memory_graph_store": "neo4j", "memory_graph_external_metrics": "always",
        "memory_graph_plugins_source": "claim",
        "memory_graph_kafka_bootstrap_servers": ["kafka-1.example:9093", "kafka-2.example:9093"],
        "memory_graph_kafka_security_protocol": "SASL_SSL", "memory_graph_kafka_ca_secret": "kafka-ca",
        "memory_graph_kafka_cidrs": ["192.0.2.0/28"], "memory_graph_worker_replicas": 1,
    },
}  # fmt: skip


VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def pods(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The spec of each pod that one of the objects makes."""
    return (item["spec"]["template"]["spec"] for item in objects if "template" in item.get("spec", {}))


def violations(pod: dict[str, Any]) -> list[str]:
    """Return what the Pod Security Standard "restricted" refuses, control by control, in the order of its table."""
    pod_context = pod.get("securityContext", {})
    containers = [*pod["containers"], *pod.get("initContainers", []), *pod.get("ephemeralContainers", [])]
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    violated = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    violated += [
        f"volume {volume['name']}" for volume in pod.get("volumes", []) if not volume.keys() - {"name"} <= allowed
    ]
    violated += ["sysctls"] if pod_context.get("sysctls") else []
    for container in containers:
        has = {**pod_context, **container.get("securityContext", {})}
        capabilities = has.get("capabilities", {})
        wrong = {
            "privileged": has.get("privileged"),
            "allowPrivilegeEscalation": has.get("allowPrivilegeEscalation") is not False,
            "drop": capabilities.get("drop") != ["ALL"],
            "add": set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"},
            "hostPort": any(port.get("hostPort") for port in container.get("ports", [])),
            "runAsNonRoot": has.get("runAsNonRoot") is not True,
            "runAsUser": has.get("runAsUser") == 0,
            "seccompProfile": has.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"),
            "procMount": has.get("procMount", "Default") != "Default",
            "seLinuxOptions": set(has.get("seLinuxOptions", {})) & {"user", "role"},
            "appArmorProfile": has.get("appArmorProfile", {}).get("type") == "Unconfined",
        }
        violated += [f"{container['name']}: {control}" for control, bad in wrong.items() if bad]
    return violated


@pytest.mark.parametrize("variables", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_is_valid_restricted_and_without_secrets(playbooks, tmp_path, variables) -> None:
    folder = tmp_path / "objects"
    rendered = playbooks.run("render", memory_graph_render_directory=str(folder), **variables)
    assert rendered.returncode == 0, rendered.stdout
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert {file.name for file in folder.iterdir()} == {*listed, "kustomization.yaml"}
    objects = [yaml.safe_load((folder / name).read_text()) for name in listed]
    for item in objects:
        for version in KUBERNETES:
            kubernetes_validate.validate(item, version, strict=True)
    assert [violations(pod) for pod in pods(objects)] == [[] for _pod in pods(objects)] != []
    assert "Secret" not in {item["kind"] for item in objects}
    assert not any("in-clear" in file.read_text() for file in folder.iterdir())
    assert ("Secret/memory-graph-secrets: not written" in rendered.stdout) == ("memory_graph_tls_key" in variables)


def test_pods_and_workers_ask_for_names_where_the_inventory_says(playbooks, tmp_path) -> None:
    folder = tmp_path / "objects"
    variables = {"memory_graph_store": "neo4j", "memory_graph_kafka_bootstrap_servers": ["kafka:9092"]}
    dns = [{"namespaces": ["dns"], "ports": [8053]}]
    rendered = playbooks.run(
        "render", memory_graph_render_directory=str(folder), memory_graph_network_policy_dns=dns, **variables
    )
    assert rendered.returncode == 0, rendered.stdout
    policies = [yaml.safe_load(file.read_text()) for file in folder.glob("networkpolicy-*")]
    assert len(policies) == 2
    for policy in policies:
        assert policy["spec"]["egress"][0] == {
            "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "dns"}}}],
            "ports": [{"port": 8053, "protocol": "UDP"}, {"port": 8053, "protocol": "TCP"}],
        }
        assert not any(port["port"] == 53 for rule in policy["spec"]["egress"] for port in rule["ports"])


def test_a_second_run_writes_the_same_bytes_in_the_order_of_applying(playbooks, tmp_path) -> None:
    folders = [tmp_path / "first_run", tmp_path / "two"]
    for folder in folders:
        assert playbooks.run("render", memory_graph_render_directory=str(folder)).returncode == 0
    first_run, two = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders)
    assert first_run == two
    listed = yaml.safe_load(first_run["kustomization.yaml"])["resources"]
    assert listed[0].startswith("namespace-")
    first = {name.partition("-")[0]: position for position, name in reversed(list(enumerate(listed)))}
    assert max(first[kind] for kind in ("serviceaccount", "configmap", "persistentvolumeclaim")) < first["statefulset"]
    assert first["statefulset"] < min(first["service"], first["networkpolicy"])


def test_files_of_an_earlier_run_go_with_their_objects_and_others_stay(playbooks, tmp_path) -> None:
    folder = tmp_path / "objects"
    assert playbooks.run("render", memory_graph_render_directory=str(folder)).returncode == 0
    assert (folder / "networkpolicy-memory-graph.yaml").exists()
    (folder / "README.md").write_text("ours")
    again = playbooks.run("render", memory_graph_render_directory=str(folder), memory_graph_network_policy=False)
    assert "1 removed" in again.stdout
    assert not (folder / "networkpolicy-memory-graph.yaml").exists()
    assert (folder / "README.md").read_text() == "ours"


@pytest.mark.parametrize(
    ("change", "control"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, "volume host"),
        ({"containers": [{"name": "c", "securityContext": {"capabilities": {"drop": ["ALL"]}}}]}, "c: runAsNonRoot"),
    ],
    ids=["host network", "host path", "root"],
)
def test_the_table_of_controls_refuses(change, control) -> None:
    assert control in violations({"containers": []} | change)
