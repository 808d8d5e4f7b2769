"""The objects of the collection's roles neo4j and kafka, read from files, and what they refuse: no cluster is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from memory_graph.config import Settings
from memory_graph.ingest.topics import DECODERS

from .conftest import CHECKOUT, PlayResult

ROLES = CHECKOUT / "collections/ansible_collections/llm_devops/memory_graph/roles"
KUBERNETES = ("1.27", "1.34", "1.37")
NAMESPACE = "kubernetes.io/metadata.name"
DNS = [
    {"to": to, "ports": [{"port": port, "protocol": "UDP"}, {"port": port, "protocol": "TCP"}]}
    for to, port in (
        ([{"namespaceSelector": {"matchLabels": {NAMESPACE: "kube-system"}}}], 53),
        ([{"namespaceSelector": {"matchLabels": {NAMESPACE: "openshift-dns"}}}], 5353),
        ([{"ipBlock": {"cidr": "169.254.20.10/32"}}], 53),
    )
]
"""CoreDNS, the DNS of OpenShift, and a NodeLocal DNSCache."""
Objects = dict[tuple[str, str], dict[str, Any]]
Run = Callable[..., PlayResult]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs one of the roles with variables."""

    def play(role: str, tasks_from: str = "main", **variables: Any) -> PlayResult:
        task = {"ansible.builtin.include_role": {"name": f"llm_devops.memory_graph.{role}", "tasks_from": tasks_from}}
        role_variables = {"ansible_python_interpreter": sys.executable, **variables}
        file = tmp_path / "play.yml"
        file.write_text(
            json.dumps(
                [
                    {
                        "hosts": "localhost",
                        "connection": "local",
                        "gather_facts": False,
                        "vars": role_variables,
                        "tasks": [task],
                    }
                ]
            )
        )
        environment = {
            **os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        }  # fmt: skip
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(file)]
        return PlayResult(
            subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
        )

    return play


@pytest.fixture
def render(run: Run, tmp_path: Path) -> Callable[..., Objects]:
    """The objects that a role describes, by kind and name."""

    def described(role: str, **variables: Any) -> Objects:
        folder = tmp_path / "objects"
        result = run(role, "render", **{f"{role}_render_directory": str(folder)}, **variables)
        assert result.returncode == 0, result.output
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        objects = [yaml.safe_load((folder / name).read_text()) for name in listed]
        return {(item["kind"], item["metadata"]["name"]): item for item in objects}

    return described


def validated(objects: Objects) -> None:
    for item in objects.values():
        for version in KUBERNETES:
            kubernetes_validate.validate(item, version, strict=True)
    assert "Secret" not in {kind for kind, _ in objects}


def restricted(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False


def configuration(objects: Objects, name: str) -> dict[str, str]:
    text = objects["ConfigMap", "neo4j-config" if name == "neo4j.conf" else "kafka-config"]["data"][name]
    lines = [line for line in text.splitlines() if line]
    return dict(line.split("=", 1) for line in lines)


def test_one_neo4j(render) -> None:
    objects = render("neo4j")
    validated(objects)
    pod = objects["StatefulSet", "neo4j"]["spec"]["template"]["spec"]
    restricted(pod)
    assert objects["Service", "neo4j"]["spec"]["ports"][0]["port"] == 7687
    settings = configuration(objects, "neo4j.conf")
    assert settings["server.directories.data"] == "/data"
    assert not [key for key in settings if key.startswith(("dbms.cluster", "dbms.ssl"))]
    assert "affinity" not in pod
    assert ("PodDisruptionBudget", "neo4j") not in objects
    (rule,) = objects["NetworkPolicy", "neo4j"]["spec"]["ingress"]
    assert rule["ports"] == [{"port": 7687, "protocol": "TCP"}]
    assert objects["NetworkPolicy", "neo4j"]["spec"]["egress"] == DNS


def test_a_neo4j_with_tls_takes_nothing_else_and_settings_of_the_inventory_win(render) -> None:
    objects = render("neo4j", neo4j_tls_secret="certificate", neo4j_settings={"db.tx_log.rotation.size": "64m"})
    validated(objects)
    settings = configuration(objects, "neo4j.conf")
    assert settings["server.bolt.tls_level"] == "REQUIRED"
    assert settings["db.tx_log.rotation.size"] == "64m"
    volumes = objects["StatefulSet", "neo4j"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "tls", "secret": {"secretName": "certificate", "defaultMode": 288}} in volumes


def test_a_cluster_of_neo4j_is_three_servers_that_find_each_other_before_they_are_ready(render) -> None:
    objects = render(
        "neo4j", neo4j_mode="cluster", neo4j_image="neo4j:5.26.30-enterprise", neo4j_license="accepted",
        neo4j_namespace="graph",
    )  # fmt: skip
    validated(objects)
    budget = objects["PodDisruptionBudget", "neo4j"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"] == objects["Service", "neo4j"]["spec"]["selector"]
    members = [f"neo4j-{number}" for number in (1, 2, 3)]
    settings = configuration(objects, "neo4j.conf")
    endpoints = [f"{name}.graph.svc:6000" for name in members]
    assert settings["dbms.cluster.discovery.v2.endpoints"].split(",") == endpoints
    for name in members:
        service = objects["Service", name]["spec"]
        assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
        assert {port["port"] for port in service["ports"]} == {6000, 7000, 7687, 7688}
        member = objects["StatefulSet", name]["spec"]
        labels = member["template"]["metadata"]["labels"]
        assert service["selector"].items() <= labels.items()
        assert objects["Service", "neo4j"]["spec"]["selector"].items() <= labels.items()
        restricted(member["template"]["spec"])
        (apart,) = member["template"]["spec"]["affinity"]["podAntiAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"
        ]
        assert apart["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= labels.items()
        assert "app.kubernetes.io/name" not in apart["podAffinityTerm"]["labelSelector"]["matchLabels"]
        environment = {entry["name"]: entry["value"] for entry in member["template"]["spec"]["containers"][0]["env"]}
        assert environment == {"ADVERTISED_ADDRESS": f"{name}.graph.svc", "NEO4J_ACCEPT_LICENSE_AGREEMENT": "yes"}
        assert ("PersistentVolumeClaim", f"{name}-data") in objects


def test_one_kafka(render) -> None:
    objects = render("kafka", kafka_mode="single", kafka_settings={"log.segment.bytes": 1048576})
    validated(objects)
    restricted(objects["StatefulSet", "kafka"]["spec"]["template"]["spec"])
    settings = configuration(objects, "server.properties")
    assert settings["advertised.listeners"].startswith("CLIENTS://kafka.llm-memory-graph.svc:9092,")
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["log.segment.bytes"] == "1048576"
    assert objects["Service", "kafka"]["spec"]["ports"][0]["port"] == 9092


def test_a_kafka_of_strimzi(render) -> None:
    """test_strimzi.py has its fields read by Strimzi."""
    objects = render("kafka", kafka_mode="strimzi", kafka_client_namespaces=["apps"])
    kinds = [kind for kind, _ in objects]
    assert {kind: kinds.count(kind) for kind in ("Kafka", "KafkaNodePool", "KafkaUser", "KafkaTopic")} == {
        "Kafka": 1, "KafkaNodePool": 1, "KafkaUser": 1, "KafkaTopic": 9,
    }  # fmt: skip
    assert {item["apiVersion"] for item in objects.values()} == {"kafka.strimzi.io/v1"}
    unlabelled = [kind for (kind, _), item in objects.items()
                  if item["metadata"]["labels"].get("strimzi.io/cluster") != "kafka"]  # fmt: skip
    assert unlabelled == ["Kafka"]
    kafka = objects["Kafka", "kafka"]["spec"]["kafka"]
    (listener,) = kafka["listeners"]
    assert (listener["tls"], listener["authentication"]) == (True, {"type": "scram-sha-512"})
    assert len(listener["networkPolicyPeers"]) == 2
    assert kafka["config"]["min.insync.replicas"] == 2
    pool = objects["KafkaNodePool", "kafka-brokers"]["spec"]
    assert (pool["replicas"], pool["roles"]) == (3, ["controller", "broker"])
    user = objects["KafkaUser", "memory-graph"]["spec"]
    assert user["authentication"]["password"] == {
        "valueFrom": {"secretKeyRef": {"name": "kafka-credentials", "key": "password"}}
    }
    topic = objects["KafkaTopic", "llm.sessions.v1"]["spec"]
    settings = {"retention.ms": 30 * 86_400_000, "min.insync.replicas": 2}
    assert topic == {"partitions": 4, "replicas": 3, "config": settings}


def test_the_topics_are_those_the_service_knows_each_with_a_place_for_dead_letters() -> None:
    defaults = yaml.safe_load((ROLES / "kafka/defaults/main.yml").read_text())
    topics = {topic["name"] for topic in defaults["kafka_topics"]}
    read = set(DECODERS)
    assert topics == {*read, *(f"{name}-dlq" for name in read)}
    assert defaults["kafka_events_topic"] == Settings(_env_file=None).kafka_events_topic


def test_the_change_feed_has_its_topic_by_the_name_it_is_given(render) -> None:
    named = render("kafka", kafka_mode="strimzi", kafka_events_topic="acme.changes", kafka_topics=[])
    assert [name for kind, name in named if kind == "KafkaTopic"] == ["acme.changes"]
    acls = named["KafkaUser", "memory-graph"]["spec"]["authorization"]["acls"]
    assert [entry["resource"]["name"] for entry in acls if entry["resource"]["type"] == "topic"] == ["acme.changes"]
    extra = [{"name": "acme.changes", "partitions": 3, "retention_days": 1}]
    sized = render("kafka", kafka_mode="strimzi", kafka_events_topic="acme.changes", kafka_topics=extra)
    assert sized["KafkaTopic", "acme.changes"]["spec"]["partitions"] == 3
    none = render("kafka", kafka_mode="strimzi", kafka_events_topic="", kafka_topics=[])
    assert not [kind for kind, _ in none if kind == "KafkaTopic"]


COMPUTED_DEFAULTS = {"memory_graph_replicas"}
"""Defaults that follow from other variables; their descriptions say how."""


@pytest.mark.parametrize("role", sorted(path.name for path in ROLES.iterdir()))
def test_the_documented_defaults_of_role_variables_are_the_effective_ones(role) -> None:
    specs = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    documented = {
        name: option["default"] for spec in specs.values() for name, option in spec["options"].items()
        if "default" in option
    }  # fmt: skip
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    assert documented == {name: default for name, default in defaults.items() if name not in COMPUTED_DEFAULTS}


def test_the_documented_user_of_a_pod_is_the_effective_one() -> None:
    specs = yaml.safe_load((ROLES / "workload/meta/argument_specs.yml").read_text())["argument_specs"]
    user = specs["main"]["options"]["workload_list"]["options"]["user"]
    contexts = yaml.safe_load((ROLES / "workload/vars/main/security_contexts.yml").read_text())
    assert user["default"] == contexts["__workload_default_user"]


@pytest.mark.parametrize(
    ("role", "variables", "sentence"),
    [
        ("neo4j", {"neo4j_mdoe": "single"}, "neo4j_mdoe is not a variable of role neo4j; did you mean neo4j_mode?"),
        ("neo4j", {"neo4j_mode": "external"}, "neo4j_mode is external, but neo4j_uri is empty: name the database"),
        ("neo4j", {"neo4j_uri": "neo4j://x"}, "neo4j_uri neo4j://x is for neo4j_mode external, and neo4j_mode is"),
        (
            "neo4j", {"neo4j_mode": "cluster"},
            "neo4j_image neo4j:5.26.30-community is Neo4j Community, which runs as one server alone: name an",
        ),
        ("neo4j", {"neo4j_image": "neo4j:5.26.30-enterprise"}, "set neo4j_license to accepted or evaluation"),
        (
            "neo4j", {"neo4j_mode": "cluster", "neo4j_image": "dozerdb:5.26.3", "neo4j_members": 2},
            "neo4j_members is 2, of which no majority outlives one that dies",
        ),
        ("neo4j", {"neo4j_image": "neo4j"}, "neo4j_image neo4j does not say which version runs"),
        ("kafka", {}, "kafka_mode is external, but kafka_bootstrap_servers is empty: name brokers"),
        (
            "kafka", {"kafka_mode": "single", "kafka_bootstrap_servers": ["x:1"]},
            "kafka_bootstrap_servers are for kafka_mode external, and kafka_mode is single",
        ),
        (
            "kafka", {"kafka_mode": "strimzi", "kafka_brokers": 1},
            "kafka_replication_factor is 3, but kafka_brokers is 1: a broker keeps one copy of a record",
        ),
        ("kafka", {"kafka_mode": "single", "kafka_image": "kafka:latest"}, "does not say which version runs"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_in_a_sentence(run, role, variables, sentence) -> None:
    assert sentence in run(role, **variables).failure


@pytest.mark.parametrize("role", ["neo4j", "kafka"])
def test_names_are_asked_for_where_the_inventory_says(render, role) -> None:
    dns = [{"namespaces": ["dns"], "ports": [53, 8053]}, {"cidrs": ["192.0.2.53/32"], "ports": [53]}, {"ports": [5353]}]
    objects = render(role, **{f"{role}_network_policy_dns": dns, f"{role}_mode": "single"})
    validated(objects)
    (policy,) = (item for (kind, _name), item in objects.items() if kind == "NetworkPolicy")
    elsewhere, address, anywhere = policy["spec"]["egress"]
    assert elsewhere["to"] == [{"namespaceSelector": {"matchLabels": {NAMESPACE: "dns"}}}]
    assert elsewhere["ports"] == [
        {"port": port, "protocol": protocol} for port in (53, 8053) for protocol in ("UDP", "TCP")
    ]
    assert address["to"] == [{"ipBlock": {"cidr": "192.0.2.53/32"}}]
    assert anywhere["to"] == []


@pytest.mark.parametrize("role", ["neo4j", "kafka"])
def test_no_dns_is_no_way_out(render, role) -> None:
    objects = render(role, **{f"{role}_network_policy_dns": [], f"{role}_mode": "single"})
    validated(objects)
    (policy,) = (item for (kind, _name), item in objects.items() if kind == "NetworkPolicy")
    assert policy["spec"]["egress"] == []
    assert "Egress" in policy["spec"]["policyTypes"]
