"""Releases that follow one another, from the first to the teardown."""

from __future__ import annotations


def test_good_release_follows_one_that_could_not_start(playbooks, any_namespace: str, image: str) -> None:
    """A StatefulSet does not by itself replace a pod that never became ready."""
    playbooks.refused(memory_graph_image="host.invalid/memory-graph:9.9.9")
    healed = playbooks.run("deploy", memory_graph_image=image)
    assert healed.returncode == 0, healed.stdout
    again = playbooks.run("deploy", memory_graph_image=image)
    assert "0 to create, 0 to change, 0 to prune" in again.stdout, again.stdout


def test_check_and_diff_write_nothing(playbooks, cluster, namespace: str, image: str) -> None:
    for arguments in (("deploy", "--check", "--diff"), ("diff",)):
        planned = playbooks.run(*arguments, memory_graph_image=image)
        assert planned.returncode == 0, planned.stdout
        assert "11 to create, 0 to change, 0 to prune" in planned.stdout, planned.stdout
    assert cluster.find(f"/api/v1/namespaces/{namespace}") is None


def test_teardown_keeps_data_unless_told_otherwise(playbooks, cluster, objects_of, any_namespace, image) -> None:
    for variables, left in (({}, ["memory-graph-data"]), ({"memory_graph_teardown_delete_data": True}, [])):
        deployed = playbooks.run("deploy", memory_graph_image=image)
        assert deployed.returncode == 0, deployed.stdout
        torn_down = playbooks.run("teardown", **variables)
        assert torn_down.returncode == 0, torn_down.stdout
        assert objects_of(any_namespace) == left
    assert cluster.find(f"/api/v1/namespaces/{any_namespace}") is None
