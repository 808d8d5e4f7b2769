"""Arguments that are refused without asking a cluster, end to end; every sentence has a unit test in the collection."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "collections/ansible_collections/llm_devops/memory_graph/playbooks"


def test_arguments_of_another_type_are_all_named_and_secrets_not_shown(playbooks) -> None:
    refused = playbooks.refused(
        "render",
        memory_graph_render_directory="/nonexistent/never-made",
        memory_graph_tolerations="graph",
        memory_graph_replicas="1.5",
        memory_graph_tls_key=["s3cret"],
    )
    for sentence in (
        "memory_graph_tolerations is 'graph': give a list",
        "memory_graph_replicas is '1.5': give a whole number",
        "memory_graph_tls_key is of another type: give a text",
    ):
        assert sentence in refused
    assert "s3cret" not in refused


def test_a_quantity_that_is_none_is_refused_before_a_cluster_is_made(playbooks, tmp_path: Path) -> None:
    playbooks.environment = {"KUBECONFIG": str(tmp_path / "none"), "DOCKER_HOST": f"unix://{tmp_path}/no-docker"}
    refused = playbooks.refused("local", memory_graph_storage_size="lots")
    assert "memory_graph_storage_size is 'lots', which is no quantity" in refused
    assert "no-docker" not in refused


def test_more_workers_than_partitions_are_refused_before_anything_is_deployed(playbooks) -> None:
    playbooks.inventory = "inventories/production"
    variables = {"memory_graph_worker_replicas_max": 60, "memory_graph_kubeconfig": "/nonexistent/kubeconfig"}
    refused = playbooks.refused("deploy", **variables)
    sentence = "memory_graph_worker_replicas_max is 60, but the topics they read have 40 partitions together"
    assert sentence in refused
    assert refused.count("failed ") == 1
    assert "nonexistent" not in refused


@pytest.mark.parametrize("name", ["preflight", "diff", "deploy"])
def test_a_playbook_checks_the_arguments_of_all_roles_first(name: str) -> None:
    (play,) = yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text())
    first = play["tasks"][0]
    assert first["ansible.builtin.include_tasks"] == "tasks/check_arguments.yml"


def test_the_permissions_of_the_brokers_are_derived_after_their_arguments_are_checked() -> None:
    (play,) = yaml.safe_load((PLAYBOOKS / "permissions.yml").read_text())
    roles = [task["ansible.builtin.include_role"]["name"].rpartition(".")[2] for task in play["tasks"]]
    assert roles == ["neo4j", "kafka", "memory_graph"]


def test_the_feed_has_one_name_for_brokers_and_workers(playbooks, tmp_path: Path) -> None:
    playbooks.inventory = "inventories/production"
    rendered = playbooks.run("render", memory_graph_render_directory=str(tmp_path), kafka_events_topic="acme.changes")
    assert rendered.returncode == 0, rendered.stdout
    objects = [yaml.safe_load(file.read_text()) for file in tmp_path.glob("*.yaml")]
    (settings,) = (item["data"] for item in objects if item["kind"] == "ConfigMap")
    assert settings["KAFKA_EVENTS_TOPIC"] == "acme.changes"
