"""The role monitoring_images makes the Prometheus and the adapter by which the scenario production is scaled."""

from __future__ import annotations

import re
from pathlib import Path

from .conftest import CHECKOUT, Play, assert_none_is_built

FILES = CHECKOUT / "roles/monitoring_images/files"
NAMED = r"memory-graph-prometheus(?:-adapter)?:[\w.]+-[0-9a-f]{12}"


def test_a_mistyped_variable_is_named(play: Play) -> None:
    result = play("monitoring_images", {"monitoring_images_cahce_dir": "/nowhere"})
    assert result.failure.startswith(
        "monitoring_images_cahce_dir is not a variable of role monitoring_images; did you mean"
    )


def test_images_that_are_there_are_not_built_again(play: Play, tmp_path: Path) -> None:
    named = set(re.findall(NAMED, play("monitoring_images", {}, tasks_from="refs").output))
    assert len(named) == 2
    assert_none_is_built(play, "monitoring_images", named, tmp_path / "calls")


def test_the_adapter_is_pinned_to_the_version_that_its_image_is_named_after(play: Play) -> None:
    expected = (FILES / "adapter/go.mod").read_text()
    required = re.findall(r"^require sigs.k8s.io/prometheus-adapter (\S+)$", expected, re.MULTILINE)
    assert len(required) == 1
    assert f"memory-graph-prometheus-adapter:{required[0]}-" in play("monitoring_images", {}, tasks_from="refs").output
