"""What inventories/production left in the cluster: pods that keep nothing, all restricted, nothing that drifts."""

from __future__ import annotations

import json

import pytest

from memory_graph.config import Settings

from .conftest import API, NAMESPACE, WORKER, Release, awaited

APPS = "apis/apps/v1"


@pytest.mark.parametrize(("name", "least"), [(API, 2), (WORKER, 2)])
def test_workloads_scale_and_are_protected(release: Release, name: str, least: int) -> None:
    scaler = release.found("horizontalpodautoscalers", name, "apis/autoscaling/v2")
    assert scaler
    conditions = {one["type"]: one["status"] for one in scaler["status"]["conditions"]}
    assert conditions["AbleToScale"] == "True"
    assert scaler["spec"]["minReplicas"] == least
    workload = release.found("deployments", name, APPS)
    assert workload
    assert workload["spec"]["replicas"] >= least, "the autoscaler holds at least so many"

    def can_be_drained() -> bool:  # once pods that it has just added are ready
        budget = release.found("poddisruptionbudgets", name, "apis/policy/v1")
        assert budget
        return budget["status"]["expectedPods"] >= least and budget["status"]["disruptionsAllowed"] >= 1

    awaited(can_be_drained)


def test_the_namespace_refuses_what_is_not_restricted(release: Release) -> None:
    """Every pod that runs here was admitted by it."""
    labels = release.cluster.request("GET", f"/api/v1/namespaces/{NAMESPACE}")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn")} == {"restricted"}


def test_pods_have_no_volume_of_their_own_and_no_password_in_a_variable(release: Release) -> None:
    settings = release.found("configmaps", "memory-graph-config")
    assert settings
    assert settings["data"].keys() <= {name.upper() for name in Settings.model_fields}
    for pod in [*release.pods(API), *release.pods(WORKER)]:
        assert not [volume for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
        (container,) = pod["spec"]["containers"]
        variables = {one["name"] for one in container.get("env", [])} | settings["data"].keys()
        assert not {"NEO4J_PASSWORD", "KAFKA_SASL_PASSWORD"} & variables
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_nothing_drifts(release: Release) -> None:
    """Also not where an autoscaler has changed the number of pods."""
    shown = release.play("drift")
    assert shown.returncode == 0, shown.stdout
    assert "no drift" in shown.stdout


def test_another_store_is_refused_while_this_one_is_deployed(release: Release) -> None:
    refused = release.play(
        "preflight", memory_graph_store="embedded", memory_graph_replicas=1, memory_graph_kafka_bootstrap_servers=[]
    )
    assert refused.returncode != 0
    said = " ".join(refused.stdout.split())
    assert "Deployment/memory-graph is of this release and StatefulSet/memory-graph would take its place" in said
    assert "memory-graph migrate" in said


def test_a_plan_has_nothing_to_do(release: Release) -> None:
    planned = release.play("diff")
    assert planned.returncode == 0, planned.stdout
    assert "0 to create, 0 to change, 0 to prune" in planned.stdout, json.dumps(planned.stdout)


def test_a_plan_for_a_namespace_without_a_database_says_what_comes_first(release: Release) -> None:
    planned = release.play("deploy", "--check", memory_graph_namespace="nobody-made-this")
    assert planned.returncode == 0, planned.stdout
    assert "Secret/neo4j-credentials would be made" in planned.stdout
    assert "the memory graph can be planned once there are the namespace and the Secrets" in planned.stdout
    assert release.cluster.find("/api/v1/namespaces/nobody-made-this") is None
