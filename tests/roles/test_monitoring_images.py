"""The role monitoring_images makes the Prometheus and the adapter by which the scenario production is scaled."""

from __future__ import annotations

import re
from pathlib import Path

from .conftest import CHECKOUT, Play

FILES = CHECKOUT / "roles/monitoring_images/files"
NAMED = r"memory-graph-prometheus(?:-adapter)?:[\w.]+-[0-9a-f]{12}"


def test_a_mistyped_variable_is_named(play: Play) -> None:
    result = play("monitoring_images", {"monitoring_images_cahce_dir": "/nowhere"})
    assert result.failure.startswith("The role monitoring_images has no variable monitoring_images_cahce_dir; it has")


def test_images_that_are_there_are_not_built_again(play: Play, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    named = set(re.findall(NAMED, play("monitoring_images", {}, tasks_from="refs").output))
    assert len(named) == 2
    listed = "\n".join(named)
    there = f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1 $2" != "image ls" ] || echo "{listed}"\n'
    result = play("monitoring_images", {}, {"docker": there})
    assert result.returncode == 0, result.output
    assert "changed=0" in result.output
    assert not re.search(r"^(build|pull|run)", calls.read_text(), flags=re.MULTILINE)


def test_the_adapter_is_pinned_to_the_version_that_its_image_is_named_after(play: Play) -> None:
    wanted = (FILES / "adapter/go.mod").read_text()
    required = re.findall(r"^require sigs.k8s.io/prometheus-adapter (\S+)$", wanted, re.MULTILINE)
    assert len(required) == 1
    assert f"memory-graph-prometheus-adapter:{required[0]}-" in play("monitoring_images", {}, tasks_from="refs").output
