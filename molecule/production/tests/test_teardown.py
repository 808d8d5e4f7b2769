"""Last: the memory graph goes, then what it stood on, and the data of both stays."""

from __future__ import annotations

import pytest

from .conftest import API, WORKER, Release

APPS = "apis/apps/v1"


@pytest.mark.parametrize("playbook", ["teardown", "teardown_backends"])
def test_teardown_keeps_the_data(release: Release, playbook: str) -> None:
    kept = [
        ("persistentvolumeclaims", "neo4j-data"), ("persistentvolumeclaims", "kafka-data"),
        ("secrets", "neo4j-credentials"),
    ]  # fmt: skip
    before = {name: release.found(plural, name) for plural, name in kept}
    done = release.play(playbook)
    assert done.returncode == 0, done.stdout
    assert not [name for name in (API, WORKER) if release.found("deployments", name, APPS)]
    runs = [name for name in ("neo4j", "kafka") if release.found("statefulsets", name, APPS)]
    assert runs == (["neo4j", "kafka"] if playbook == "teardown" else [])
    for plural, name in kept:
        now = release.found(plural, name)
        assert now
        assert now["metadata"]["uid"] == before[name]["metadata"]["uid"]
        assert "deletionTimestamp" not in now["metadata"]
