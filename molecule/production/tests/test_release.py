"""The release of inventories/production: pods without data of their own, all restricted, and no drift."""

from __future__ import annotations

import json

import pytest

from memory_graph.config import Settings

from .conftest import API, NAMESPACE, WORKER, ProductionRelease, wait_until

APPS = "apis/apps/v1"


@pytest.mark.parametrize(("name", "min_replicas"), [(API, 2), (WORKER, 2)])
def test_workloads_scale_and_are_protected(release: ProductionRelease, name: str, min_replicas: int) -> None:
    autoscaler = release.find("horizontalpodautoscalers", name, "apis/autoscaling/v2")
    assert autoscaler
    conditions = {condition["type"]: condition["status"] for condition in autoscaler["status"]["conditions"]}
    assert conditions["AbleToScale"] == "True"
    assert autoscaler["spec"]["minReplicas"] == min_replicas
    workload = release.find("deployments", name, APPS)
    assert workload
    assert workload["spec"]["replicas"] >= min_replicas, "the autoscaler keeps at least the minimum"

    def can_be_drained() -> bool:  # once pods that it has just added are ready
        budget = release.find("poddisruptionbudgets", name, "apis/policy/v1")
        assert budget
        return budget["status"]["expectedPods"] >= min_replicas and budget["status"]["disruptionsAllowed"] >= 1

    wait_until(can_be_drained)


def test_the_namespace_refuses_what_is_not_restricted(release: ProductionRelease) -> None:
    """The namespace admitted every pod that runs in it."""
    labels = release.cluster.request("GET", f"/api/v1/namespaces/{NAMESPACE}")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn")} == {"restricted"}


def test_pods_have_no_volume_of_their_own_and_no_password_in_a_variable(release: ProductionRelease) -> None:
    settings = release.find("configmaps", "memory-graph-config")
    assert settings
    assert settings["data"].keys() <= {name.upper() for name in Settings.model_fields}
    for pod in [*release.pods(API), *release.pods(WORKER)]:
        assert not [volume for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
        (container,) = pod["spec"]["containers"]
        variables = {variable["name"] for variable in container.get("env", [])} | settings["data"].keys()
        assert not {"NEO4J_PASSWORD", "KAFKA_SASL_PASSWORD"} & variables
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_nothing_drifts(release: ProductionRelease) -> None:
    """Also not where an autoscaler has changed the number of pods."""
    drift = release.run_playbook("drift")
    assert drift.returncode == 0, drift.stdout
    assert "no drift" in drift.stdout


def test_another_store_is_refused_while_this_one_is_deployed(release: ProductionRelease) -> None:
    refused = release.run_playbook(
        "preflight", memory_graph_store="embedded", memory_graph_replicas=1, memory_graph_kafka_bootstrap_servers=[]
    )
    assert refused.returncode != 0
    output = " ".join(refused.stdout.split())
    assert "Deployment/memory-graph is of this release and StatefulSet/memory-graph would take its place" in output
    assert "memory-graph migrate" in output


def test_a_plan_has_nothing_to_do(release: ProductionRelease) -> None:
    planned = release.run_playbook("diff")
    assert planned.returncode == 0, planned.stdout
    assert "0 to create, 0 to change, 0 to prune" in planned.stdout, json.dumps(planned.stdout)


def test_a_plan_for_a_namespace_without_a_database_says_what_comes_first(release: ProductionRelease) -> None:
    planned = release.run_playbook("deploy", "--check", memory_graph_namespace="nobody-made-this")
    assert planned.returncode == 0, planned.stdout
    assert "Secret/neo4j-credentials would be made" in planned.stdout
    assert "the memory graph can be planned once there are the namespace and the Secrets" in planned.stdout
    assert release.cluster.find("/api/v1/namespaces/nobody-made-this") is None
