"""The objects and the pod of a deployed release keep the promises of the roles."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.xdist_group("release")
LABELS = {
    "app.kubernetes.io/name": "memory-graph",
    "app.kubernetes.io/instance": "memory-graph",
    "app.kubernetes.io/component": "api",
    "app.kubernetes.io/part-of": "memory-graph",
    "app.kubernetes.io/managed-by": "ansible",
}
OBJECTS = [
    ("serviceaccounts", "memory-graph", "api/v1"),
    ("configmaps", "memory-graph-config", "api/v1"),
    ("persistentvolumeclaims", "memory-graph-data", "api/v1"),
    ("services", "memory-graph", "api/v1"),
    ("services", "memory-graph-internal", "api/v1"),
    ("services", "memory-graph-headless", "api/v1"),
    ("statefulsets", "memory-graph", "apis/apps/v1"),
    ("roles", "memory-graph", "apis/rbac.authorization.k8s.io/v1"),
    ("rolebindings", "memory-graph", "apis/rbac.authorization.k8s.io/v1"),
    ("networkpolicies", "memory-graph", "apis/networking.k8s.io/v1"),
]


@pytest.mark.parametrize(("plural", "name", "group"), OBJECTS, ids=[f"{plural}-{name}" for plural, name, _ in OBJECTS])
def test_objects_carry_the_standard_labels(release, plural, name, group) -> None:
    labels = release.get(plural, name, group)["metadata"]["labels"]
    assert labels | LABELS == labels
    assert ("app.kubernetes.io/version" in labels) is (plural == "statefulsets"), "an upgrade changes what runs, alone"


def test_selector_is_what_never_changes(release) -> None:
    selector = release.get("statefulsets", "memory-graph", "apis/apps/v1")["spec"]["selector"]["matchLabels"]
    assert set(selector) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}


def test_namespace_enforces_the_restricted_standard(release) -> None:
    labels = release.cluster.request("GET", f"/api/v1/namespaces/{release.namespace}")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}


def test_pod_is_restricted(release) -> None:
    spec = release.pod()["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 1001
    (container,) = spec["containers"]
    context = container["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any("projected" in volume for volume in spec["volumes"])


def test_probes_are_grpc(release) -> None:
    """Liveness checks the process alone: a restart does not repair a full store."""
    (container,) = release.pod()["spec"]["containers"]
    services = {probe: container[f"{probe}Probe"]["grpc"] for probe in ("startup", "readiness", "liveness")}
    assert services == {
        "startup": {"port": 50051, "service": ""},
        "readiness": {"port": 50051, "service": ""},
        "liveness": {"port": 50051, "service": "liveness"},
    }


def test_process_is_nobody_special(container_shell) -> None:
    assert container_shell.check_output("id -u") == "1001"
    assert container_shell.check_output("id -g") == "1001"
    status = container_shell.check_output("cat /proc/1/status")
    assert "\nCapEff:\t0000000000000000" in status
    assert "\nNoNewPrivs:\t1" in status
    assert "\nSeccomp:\t2" in status


def test_only_data_and_tmp_can_be_written(container_shell) -> None:
    for folder in ("/", "/etc", "/home", "/var/tmp", "/plugins"):
        assert container_shell.run(f"touch {folder}/written").failed, folder
    for folder in ("/data", "/tmp"):
        assert container_shell.run(f"touch {folder}/written && rm {folder}/written").succeeded, folder


def test_no_api_token_inside(container_shell) -> None:
    assert not container_shell.file("/var/run/secrets/kubernetes.io/serviceaccount").exists


def test_role_reads_named_objects_only(release) -> None:
    rules = release.get("roles", "memory-graph", "apis/rbac.authorization.k8s.io/v1")["rules"]
    assert rules
    for rule in rules:
        assert rule["resourceNames"]
        assert rule["verbs"] == ["get"]
    assert not any("secrets" in rule["resources"] for rule in rules)


def test_metrics_are_not_published(release) -> None:
    published = release.get("services", "memory-graph")["spec"]
    assert [port["port"] for port in published["ports"]] == [50051]
    assert published["sessionAffinity"] == "ClientIP"
    internal = release.get("services", "memory-graph-internal")["spec"]
    assert sorted(port["port"] for port in internal["ports"]) == [8080, 9090, 50051]
    assert release.get("services", "memory-graph-headless")["spec"]["clusterIP"] == "None"


def test_every_setting_is_read_by_the_service(release) -> None:
    from memory_graph.config import Settings

    variables = set(release.get("configmaps", "memory-graph-config")["data"])
    assert variables <= {name.upper() for name in Settings.model_fields}


def test_log_lines_are_json(release) -> None:
    lines = [json.loads(line) for line in release.log().splitlines()]
    assert lines
    for line in lines:
        assert {"timestamp", "level", "service", "message"} <= line.keys()
        assert line["service"] == "memory-graph"


def test_there_is_no_budget_or_autoscaler_for_one_pod(release) -> None:
    assert release.get_all("poddisruptionbudgets", "apis/policy/v1") == []
    assert release.get_all("horizontalpodautoscalers", "apis/autoscaling/v2") == []
