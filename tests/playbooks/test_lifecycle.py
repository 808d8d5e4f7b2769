"""Releases that follow one another, from the first to the teardown."""

from __future__ import annotations


def test_good_release_follows_one_that_could_not_start(playbooks, any_namespace: str, image: str) -> None:
    """A StatefulSet does not by itself replace a pod that never became ready."""
    playbooks.refused(memory_graph_image="host.invalid/memory-graph:9.9.9")
    healed = playbooks.run("deploy", memory_graph_image=image)
    assert healed.returncode == 0, healed.stdout
    again = playbooks.run("deploy", memory_graph_image=image)
    assert "0 to create, 0 to change, 0 to prune" in again.stdout, again.stdout
    other_build = playbooks.run("diff", memory_graph_image=f"{image}-other")
    assert "0 to create, 1 to change, 0 to prune" in other_build.stdout, other_build.stdout
    assert "StatefulSet/memory-graph" in other_build.stdout


def test_check_and_diff_write_nothing(playbooks, cluster, namespace: str, image: str) -> None:
    for arguments in (("deploy", "--check", "--diff"), ("diff",)):
        planned = playbooks.run(*arguments, memory_graph_image=image)
        assert planned.returncode == 0, planned.stdout
        assert "11 to create, 0 to change, 0 to prune" in planned.stdout, planned.stdout
    assert cluster.find(f"/api/v1/namespaces/{namespace}") is None


def test_teardown_keeps_data_until_told_otherwise(playbooks, cluster, objects_of, any_namespace, image) -> None:
    """The second teardown finds what the first one kept."""
    deployed = playbooks.run("deploy", memory_graph_image=image)
    assert deployed.returncode == 0, deployed.stdout
    kept = playbooks.run("teardown")
    assert kept.returncode == 0, kept.stdout
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
