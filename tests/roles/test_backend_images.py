"""The role backend_images makes images of the very servers that the service is tested with."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import CHECKOUT, Play, assert_none_is_built

PUBLISHED = yaml.safe_load((CHECKOUT / "roles/backend_images/vars/main.yml").read_text())["__backend_images_known"]
FETCH = CHECKOUT / "roles/backend_images/files/fetch-jars"
MAVEN = """#!/bin/sh
for argument; do
  case "$argument" in -DoutputDirectory=*) mkdir "${argument#*=}"; echo jar > "${argument#*=}/a.jar" ;; esac
done
"""


@pytest.fixture
def tested_with(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The jar sets of the service's tests, by name."""
    monkeypatch.syspath_prepend(str(CHECKOUT / "service/tests"))
    support = CHECKOUT / "service/tests/support"
    return {
        "neo4j": runpy.run_path(str(support / "neo4j_server.py"))["NEO4J"],
        "kafka": runpy.run_path(str(support / "kafka_server.py"))["KAFKA"],
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_jars_are_those_of_the_tests(tested_with, name) -> None:
    assert tuple(PUBLISHED[name]["coordinates"]) == tested_with[name].coordinates
    assert PUBLISHED[name]["digest"] == tested_with[name].digest
    assert PUBLISHED[name]["version"] == PUBLISHED[name]["coordinates"][0].rpartition(":")[2]


def test_a_mistyped_variable_is_named(play: Play) -> None:
    result = play("backend_images", {"backend_images_nmaes": ["kafka"]})
    assert result.failure.startswith("backend_images_nmaes is not a variable of role backend_images; did you mean")


def test_images_that_are_there_are_not_built_again(play: Play, tmp_path: Path) -> None:
    named = set(
        re.findall(r"memory-graph-\w+:[\d.]+-[0-9a-f]{12}", play("backend_images", {}, tasks_from="refs").output)
    )
    assert len(named) == len(PUBLISHED)
    assert_none_is_built(play, "backend_images", named, tmp_path / "calls")


def fetch(folder: Path, digest: str, programs: Path) -> subprocess.CompletedProcess[str]:
    """Fetches with a Maven that makes one jar."""
    programs.mkdir(exist_ok=True)
    for name, script in {"mvn": MAVEN, "jlink": "#!/bin/sh\n"}.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    return subprocess.run(
        [FETCH, folder, digest, "org.example:server:1"], env=environment, capture_output=True, text=True, check=False
    )


def test_jars_of_another_digest_are_refused_and_not_kept(tmp_path: Path) -> None:
    refused = fetch(tmp_path / "jars", "0" * 64, tmp_path / "programs")
    assert refused.returncode == 1
    results = re.search(r"digest ([0-9a-f]{64}) instead of 0{64}", refused.stdout)
    assert results
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("jars")] == ["jars.lock"]

    used = fetch(tmp_path / "jars", results[1], tmp_path / "programs")
    assert used.returncode == 0, used.stderr
    assert [path.name for path in (tmp_path / "jars").iterdir()] == ["a.jar"]
    again = fetch(tmp_path / "jars", results[1], tmp_path / "programs")
    assert (again.returncode, again.stdout) == (0, "")
