"""The whole deployment under a service account that may do what playbooks/permissions.yml prints, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import Cluster, connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._prerequisites import ensure_secret

Grant = Callable[..., Path]


@pytest.fixture
def grant(playbooks, cluster: Cluster, kubeconfig: Path, any_namespace: str, tmp_path: Path) -> Iterator[Grant]:
    """Grants what the playbook prints, as an administrator does; gives the deployer's kubeconfig."""
    created: list[str] = []

    def granted(**variables: Any) -> Path:
        printed = playbooks.run("permissions", **variables)
        assert printed.returncode == 0, printed.stdout
        discovery = Discovery(cluster)
        for item in yaml.safe_load_all(printed.stdout):
            resource = discovery.find(item["apiVersion"], item["kind"])
            path = resource.path(item["metadata"].get("namespace"), item["metadata"]["name"])
            how = {"fieldManager": "administrator", "force": "true"}
            cluster.request("PATCH", path, how, item, "application/apply-patch+yaml")
            if item["kind"] in ("ClusterRole", "ClusterRoleBinding"):
                created.append(path)
        account = f"/api/v1/namespaces/{any_namespace}/serviceaccounts/memory-graph-deployer"
        token = cluster.request("POST", f"{account}/token", None, {"spec": {}})["status"]["token"]
        config = yaml.safe_load(kubeconfig.read_text())
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        file = tmp_path / "deployer.kubeconfig"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(config))
        return file

    yield granted
    for path in created:
        cluster.delete(path)


def test_everything_runs_under_what_is_printed(playbooks, grant: Grant, objects_of, any_namespace, image: str) -> None:
    ours = {"memory_graph_kubeconfig": str(grant(memory_graph_image=image)), "memory_graph_image": image}
    preflight = playbooks.run("preflight", **ours)
    assert preflight.returncode == 0, preflight.stdout
    assert "you may not " not in preflight.stdout, preflight.stdout
    first = playbooks.run("deploy", **ours)
    assert first.returncode == 0, first.stdout
    assert "revision 1 of memory-graph" in first.stdout, first.stdout
    again = playbooks.run("deploy", "-v", **ours)
    assert again.returncode == 0, again.stdout
    assert "0 to create, 0 to change, 0 to prune" in again.stdout, again.stdout
    assert " changed=0 " in again.stdout.splitlines()[-2], again.stdout
    change = playbooks.run("diff", memory_graph_log_level="debug", **ours)
    assert change.returncode == 0, change.stdout
    assert "0 to create, 2 to change, 0 to prune" in change.stdout, change.stdout
    verified = playbooks.run("verify", **ours)
    assert verified.returncode == 0, verified.stdout
    released = playbooks.run("teardown", **ours)
    assert released.returncode == 0, released.stdout
    assert objects_of(any_namespace) == ["memory-graph-data"]


def test_data_is_deleted_only_by_who_may(
    playbooks, grant: Grant, cluster: Cluster, objects_of, any_namespace: str, image: str
) -> None:
    ours = {"memory_graph_kubeconfig": str(grant(memory_graph_image=image)), "memory_graph_image": image}
    deployed = playbooks.run("deploy", memory_graph_verify=False, **ours)
    assert deployed.returncode == 0, deployed.stdout
    refused = playbooks.refused("teardown", memory_graph_teardown_delete_data=True, **ours)
    assert "may not delete" in refused, refused
    assert "memory-graph-data" in objects_of(any_namespace)
    grant(memory_graph_image=image, memory_graph_deployer_delete_data=True)
    deleted = playbooks.run("teardown", memory_graph_teardown_delete_data=True, **ours)
    assert deleted.returncode == 0, deleted.stdout
    assert cluster.find(f"/api/v1/namespaces/{any_namespace}") is None


def test_without_a_namespace_of_its_own_nothing_is_needed_at_cluster_scope(
    playbooks, grant: Grant, existing_namespace: str, image: str
) -> None:
    least = {"memory_graph_create_namespace": False, "memory_graph_image": image}
    printed = playbooks.run("permissions", memory_graph_deployer_optional=False, **least)
    assert "ClusterRole" not in printed.stdout
    file = grant(memory_graph_deployer_optional=False, **least)
    deployed = playbooks.run("deploy", memory_graph_kubeconfig=str(file), **least)
    assert deployed.returncode == 0, deployed.stdout
    assert "you may not list nodes at cluster scope" in " ".join(deployed.stdout.split()), deployed.stdout


SMALL = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}
PRODUCTION = {"memory_graph_context": "", "neo4j_mode": "single", "kafka_mode": "single",
              "memory_graph_resources": SMALL, "memory_graph_worker_resources": SMALL,
              "neo4j_resources": SMALL, "kafka_resources": SMALL}  # fmt: skip
"""The production inventory on a cluster that has nothing yet, and little room."""


def test_the_database_and_the_brokers_of_production_need_no_more(
    playbooks, grant: Grant, any_namespace: str, image: str
) -> None:
    """Every verb is asked for, and every object of the three releases is applied as a dry run."""
    playbooks.inventory = "inventories/production"
    deployer = str(grant(memory_graph_image=image, **PRODUCTION))
    ours = {"memory_graph_kubeconfig": deployer, "memory_graph_image": image, **PRODUCTION}
    planned = playbooks.run("deploy", "--check", **ours)
    assert planned.returncode == 0, planned.stdout
    assert "Secret/neo4j-credentials would be made" in planned.stdout, planned.stdout
    credentials = {"name": "neo4j-credentials", "values": {"username": "neo4j"}, "random": ["password"]}
    assert ensure_secret(connect({"kubeconfig": deployer}), any_namespace, credentials, {}, check=False)
    whole = playbooks.run("deploy", "--check", **ours)
    assert whole.returncode == 0, whole.stdout
    output = " ".join(whole.stdout.split())
    assert output.count(" 0 to change, 0 to prune") == 3, whole.stdout
    assert "you may not " not in output, whole.stdout


def test_what_is_only_connected_to_takes_its_secrets_alone(playbooks, any_namespace: str) -> None:
    playbooks.inventory = "inventories/production"
    printed = playbooks.run("permissions", memory_graph_context="")
    assert printed.returncode == 0, printed.stdout
    (role,) = (item for item in yaml.safe_load_all(printed.stdout) if item["kind"] == "Role")
    theirs = ["kafka-credentials", "neo4j-credentials"]
    (rule,) = (entry for entry in role["rules"] if set(theirs) & set(entry.get("resourceNames", [])))
    assert (rule["resources"], rule["resourceNames"], rule["verbs"]) == (["secrets"], theirs, ["get"])
    assert role["metadata"]["namespace"] == any_namespace
    assert "statefulsets" not in printed.stdout


def test_kinds_the_cluster_does_not_know_are_named(playbooks) -> None:
    playbooks.inventory = "inventories/production"
    refused = playbooks.refused("permissions", memory_graph_context="", kafka_mode="strimzi")
    assert "the cluster does not know Kafka of kafka.strimzi.io/v1, which release kafka has" in refused
