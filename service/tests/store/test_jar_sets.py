"""Jars that servers of tests run from are those the project names, and no others."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from support import maven
from support.maven import JarSet, Unavailable, digest_of, jars


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Stands for Maven Central: yields how often it was asked; it gives one jar."""
    requests = []

    def mvn(command, **_):
        folder = maven.Path(command[-1].partition("=")[2])
        folder.mkdir()
        (folder / "a.jar").write_bytes(b"content")
        requests.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(maven, "program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", mvn)
    return requests


def test_a_set_is_fetched_once(fetched, tmp_path):
    (tmp_path / "a.jar").write_bytes(b"content")
    jar_set = JarSet("a", ("g:a:1",), digest_of(tmp_path))
    assert [jar.name for jar in jars(jar_set).glob("*")] == ["a.jar"]
    assert jars(jar_set) == jars(jar_set)
    assert len(fetched) == 1


def test_other_jars_than_those_named_are_refused(fetched):
    wrong = JarSet("a", ("g:a:1",), "0" * 64)
    for _ in range(2):
        with pytest.raises(Unavailable, match="not those this project was tested with"):
            jars(wrong)
    assert len(fetched) == 2
