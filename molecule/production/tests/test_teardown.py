"""Runs last: the memory graph is deleted, then its backends, and the data of both stays."""

from __future__ import annotations

import pytest

from .conftest import API, WORKER, ProductionRelease

APPS = "apis/apps/v1"


@pytest.mark.parametrize("playbook", ["teardown", "teardown_backends"])
def test_teardown_keeps_the_data(release: ProductionRelease, playbook: str) -> None:
    data = [
        ("persistentvolumeclaims", "neo4j-data"), ("persistentvolumeclaims", "kafka-data"),
        ("secrets", "neo4j-credentials"),
    ]  # fmt: skip
    before = {name: release.find(plural, name) for plural, name in data}
    teardown = release.run_playbook(playbook)
    assert teardown.returncode == 0, teardown.stdout
    assert not [name for name in (API, WORKER) if release.find("deployments", name, APPS)]
    runs = [name for name in ("neo4j", "kafka") if release.find("statefulsets", name, APPS)]
    assert runs == (["neo4j", "kafka"] if playbook == "teardown" else [])
    for plural, name in data:
        now = release.find(plural, name)
        assert now
        assert now["metadata"]["uid"] == before[name]["metadata"]["uid"]
        assert "deletionTimestamp" not in now["metadata"]
