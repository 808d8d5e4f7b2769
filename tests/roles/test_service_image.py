"""The role service_image refuses bad input with one sentence, and names the image after its content."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from .conftest import CHECKOUT, Play

DOCKER = """#!/bin/sh
case "$1" in
  pull) echo "no such host"; exit 1 ;;
  build) exit 1 ;;
esac
"""


def test_a_mistyped_variable_is_named(play: Play) -> None:
    result = play("service_image", {"service_image_bsae": "x"}, {"docker": DOCKER})
    assert result.failure.startswith("service_image_bsae is not a variable of role service_image; did you mean")


def test_a_cluster_that_does_not_run_is_refused(play: Play) -> None:
    result = play("service_image", {"service_image_kind_cluster": "nowhere"}, {"docker": DOCKER})
    assert result.failure.startswith('No node of a kind cluster "nowhere" runs on this machine')


def test_a_base_that_was_asked_for_is_not_replaced(play: Play) -> None:
    result = play("service_image", {"service_image_base": "example/python:3"}, {"docker": DOCKER})
    assert result.failure.startswith(
        "The base image example/python:3 is neither in the Docker engine nor can it be pulled (no such host):"
    )


def test_an_image_that_is_there_is_not_built_again(play: Play, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    present = f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1 $2" != "image ls" ] || echo {ref_of(play)}\n'
    result = play("service_image", {}, {"docker": present})
    assert result.returncode == 0, result.output
    assert "changed=0" in result.output
    assert not re.search(r"^(build|pull|run)", calls.read_text(), flags=re.MULTILINE)


def test_null_is_the_default(play: Play, tmp_path: Path) -> None:
    present = f'#!/bin/sh\n[ "$1 $2" != "image ls" ] || echo {ref_of(play)}\n'
    nulls = dict.fromkeys(
        f"service_image_{name}" for name in ("name", "base", "kind_cluster", "kind_binary", "cache_dir")
    )
    result = play("service_image", nulls, {"docker": present})
    assert result.returncode == 0, result.output
    assert f"ref={ref_of(play)}." in result.output


def test_the_name_follows_the_sources_and_nothing_else(play: Play, tmp_path: Path) -> None:
    service = tmp_path / "service"
    shutil.copytree(CHECKOUT / "service", service, ignore=shutil.ignore_patterns("__pycache__", "gen", "tests"))
    source = {"__service_image_source": str(service)}
    before = ref_of(play, source)
    version = re.search(r'^version = "(.+)"$', (service / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert version
    assert re.fullmatch(rf"memory-graph:{re.escape(version[1])}-[0-9a-f]{{12}}", before)

    for created in (
        "src/memory_graph/gen/made_pb2.py",
        "src/memory_graph/__pycache__/x.pyc",
        "dist/wheels/x.whl",
        "tests/x.py",
    ):
        (service / created).parent.mkdir(parents=True, exist_ok=True)
        (service / created).write_text("created")
    assert ref_of(play, source) == before

    for part in ("src/memory_graph/py.typed", "README.md", "Dockerfile", "requirements.txt", "hatch_build.py"):
        (service / part).write_text("changed")
        after = ref_of(play, source)
        assert after != before, part
        before = after


def ref_of(play: Play, variables: dict[str, Any] | None = None) -> str:
    """The name the role gives the image of these sources."""
    results = re.search(r"ref=(\S+)\.", play("service_image", variables or {}, tasks_from="digest").output)
    assert results
    return results[1]
