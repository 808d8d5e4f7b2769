"""playbooks/preflight.yml shows a table of everything that is wrong, or one line; it writes nothing."""

from __future__ import annotations


def test_good_cluster_is_one_line(playbooks, cluster, namespace: str, image: str) -> None:
    display = playbooks.run("preflight", memory_graph_image=image)
    assert display.returncode == 0, display.stdout
    assert display.stdout.strip() == "preflight   13 checks passed"
    assert cluster.find(f"/api/v1/namespaces/{namespace}") is None


def test_table_has_each_problem_with_its_way_out(
    playbooks, cluster, existing_namespace: str, objects_of, image: str
) -> None:
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"limits.memory": "512Mi"}}}
    cluster.request("POST", f"/api/v1/namespaces/{existing_namespace}/resourcequotas", None, quota)
    display = playbooks.run("deploy", memory_graph_image=image, memory_graph_storage_class="no-such-class")
    assert display.returncode != 0
    lines = [line.strip() for line in display.stdout.splitlines()]
    assert "preflight   2 problems, nothing was written" in lines, display.stdout
    marked = {line[:2] + line[2:].split()[0]: line for line in lines if line.startswith(("✗", "✓"))}
    assert set(marked) == {"✗ storage", "✗ quota", "✓ 11"}, display.stdout
    assert "'no-such-class', which does not exist" in marked["✗ storage"]
    assert "→ name one of: " in marked["✗ storage"]
    assert "ResourceQuota 'team' leaves 512Mi" in marked["✗ quota"]
    assert "→ lower requests or replicas, or raise the quota" in marked["✗ quota"]
    assert objects_of(existing_namespace) == []


def test_verbose_shows_what_passed(playbooks, image: str) -> None:
    display = playbooks.run("preflight", "-v", memory_graph_image=image)
    assert '"check": "admission"' in display.stdout, display.stdout
