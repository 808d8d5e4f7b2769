"""Releases that follow one another, from the first to the teardown."""

from __future__ import annotations

import json
import re


def test_good_release_follows_one_that_could_not_start(playbooks, any_namespace: str, image: str) -> None:
    """A StatefulSet does not by itself replace a pod that never became ready."""
    playbooks.refused(memory_graph_image="host.invalid/memory-graph:9.9.9")
    healed = playbooks.run("deploy", memory_graph_image=image)
    assert healed.returncode == 0, healed.stdout
    again = playbooks.run("deploy", memory_graph_image=image)
    assert "0 to create, 0 to change, 0 to prune" in again.stdout, again.stdout
    other_build = playbooks.run("diff", memory_graph_image=f"{image}-other")
    assert "0 to create, 1 to change, 0 to prune" in other_build.stdout, other_build.stdout
    assert re.search(
        r"^~ StatefulSet/memory-graph +spec.template.spec.containers\[memory-graph\].image: \S+ → \S+-other$",
        other_build.stdout,
        re.MULTILINE,
    ), other_build.stdout
    assert "1 object differs; 10 are as they should be. Nothing was changed." in other_build.stdout


def test_check_and_diff_write_nothing(playbooks, cluster, namespace: str, image: str, tmp_path) -> None:
    report = tmp_path / "diff.json"
    for arguments in (("deploy", "--check", "--diff"), ("diff",)):
        planned = playbooks.run(*arguments, memory_graph_image=image, memory_graph_diff_report=str(report))
        assert planned.returncode == 0, planned.stdout
        assert "11 to create, 0 to change, 0 to prune" in planned.stdout, planned.stdout
    assert cluster.find(f"/api/v1/namespaces/{namespace}") is None
    assert f"+ Namespace/{namespace}" in planned.stdout
    (changes,) = json.loads(report.read_text()).values()
    assert {(item["kind"], item["action"]) for item in changes} >= {("Namespace", "created"), ("Role", "created")}


def test_teardown_keeps_data_until_told_otherwise(playbooks, cluster, objects_of, any_namespace, image) -> None:
    """The second teardown finds what the first one kept."""
    deployed = playbooks.run("deploy", memory_graph_image=image)
    assert deployed.returncode == 0, deployed.stdout
    remaining = playbooks.run("teardown")
    assert remaining.returncode == 0, remaining.stdout
    assert objects_of(any_namespace) == ["memory-graph-data"]
    deleted = playbooks.run("teardown", memory_graph_teardown_delete_data=True)
    assert deleted.returncode == 0, deleted.stdout
    assert objects_of(any_namespace) == []
    assert cluster.find(f"/api/v1/namespaces/{any_namespace}") is None


def test_deployment_finds_the_data_a_teardown_kept(playbooks, cluster, any_namespace: str, image: str) -> None:
    path = f"/api/v1/namespaces/{any_namespace}/persistentvolumeclaims/memory-graph-data"
    uids = set()
    for name in ("deploy", "teardown", "deploy"):
        result = playbooks.run(name, memory_graph_image=image)
        assert result.returncode == 0, result.stdout
        uids.add(cluster.find(path)["metadata"]["uid"])
    assert len(uids) == 1


def test_rollback_brings_the_revision_before_back(playbooks, cluster, any_namespace: str, image: str) -> None:
    """By number, without one, in check mode; and refuses what is no revision."""
    path = f"/api/v1/namespaces/{any_namespace}/configmaps/memory-graph-config"

    def level() -> str:
        return str(cluster.find(path)["data"]["LOG_LEVEL"])

    for expected in ("info", "debug"):
        deployed = playbooks.run("deploy", memory_graph_image=image, memory_graph_log_level=expected)
        assert deployed.returncode == 0, deployed.stdout
    planned = playbooks.run("rollback", "--check", "--diff", revision=1)
    assert planned.returncode == 0, planned.stdout
    assert "+  LOG_LEVEL: info" in planned.stdout, planned.stdout
    assert level() == "debug"
    back = playbooks.run("rollback", revision=1)
    assert back.returncode == 0, back.stdout
    assert f"revision 3 of memory-graph in {any_namespace} (rollback to 1)" in back.stdout, back.stdout
    assert "write+read through Service/memory-graph-internal ok" in back.stdout, back.stdout
    assert level() == "info"
    forth = playbooks.run("rollback")
    assert forth.returncode == 0, forth.stdout
    assert "from revision 3 to the objects of revision 2" in forth.stdout, forth.stdout
    assert level() == "debug"
    assert "'three' is not the number of a revision" in playbooks.refused("rollback", revision="three")
    assert "has no revision 9 — it remembers 1 deployed, 2 deployed, 3 deployed" in playbooks.refused(
        "rollback", revision=9
    )


def test_failed_deployment_names_the_rollback(playbooks, any_namespace: str, image: str) -> None:
    deployed = playbooks.run("deploy", memory_graph_image=image)
    assert deployed.returncode == 0, deployed.stdout
    output = playbooks.refused(memory_graph_image="host.invalid/memory-graph:9.9.9")
    assert "ansible-playbook playbooks/rollback.yml -e revision=1" in output, output
    back = playbooks.run("rollback", revision=1)
    assert back.returncode == 0, back.stdout


def test_drift_exits_with_2_and_names_the_hand(playbooks, cluster, any_namespace: str, image: str, tmp_path) -> None:
    deployed = playbooks.run("deploy", memory_graph_image=image)
    assert deployed.returncode == 0, deployed.stdout
    none = playbooks.run("drift")
    assert none.returncode == 0, none.stdout
    assert "local       no drift\n" in none.stdout, none.stdout
    path = f"/api/v1/namespaces/{any_namespace}/configmaps/memory-graph-config"
    cluster.request("PATCH", path, {"fieldManager": "kubectl-edit"}, {"data": {"MAX_CONNECTIONS": "7"}},
                    "application/merge-patch+json")  # fmt: skip
    report = tmp_path / "drift.json"
    some = playbooks.run("drift", memory_graph_drift_report=str(report))
    assert some.returncode == 2, some.stdout
    line = "local       ConfigMap/memory-graph-config  data.MAX_CONNECTIONS: 1000, live 7 — changed by kubectl-edit "
    assert line in some.stdout, some.stdout
    results = json.loads(report.read_text())["local"]
    assert [(item["path"], item["live"]) for item in results["drift"]] == [("data.MAX_CONNECTIONS", "7")]
    undone = playbooks.run("deploy", memory_graph_image=image, memory_graph_force_conflicts=True)
    assert undone.returncode == 0, undone.stdout
    assert playbooks.run("drift").returncode == 0


def test_drift_of_what_was_never_deployed_is_refused(playbooks, namespace: str) -> None:
    assert f"memory-graph is not deployed in {namespace}" in playbooks.refused("drift")
