"""The action current_cluster_info finds the cluster of a kubeconfig."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import CHECKOUT


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The action plugin, imported as Ansible would."""
    monkeypatch.syspath_prepend(str(CHECKOUT / "collections"))
    path = CHECKOUT / "plugins/action/current_cluster_info.py"
    spec = importlib.util.spec_from_file_location("current_cluster_info", path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    ("provider_id", "cluster"),
    [
        ("kind://docker/memory-graph/memory-graph-control-plane", "memory-graph"),
        ("aws:///eu-west-1a/i-0abc", ""),
        ("", ""),
    ],
)
def test_kind_is_told_by_the_provider_id(module: ModuleType, provider_id: str, cluster: str) -> None:
    assert module.kind_cluster_of([{"spec": {"providerID": provider_id}}]) == cluster


def test_no_nodes_are_no_kind_cluster(module: ModuleType) -> None:
    assert module.kind_cluster_of([]) == ""


def test_no_kubeconfig_is_an_answer(module: ModuleType, tmp_path: Path) -> None:
    results = module.current_cluster({"kubeconfig": str(tmp_path / "none")})
    assert not results["answers"]
    assert "does not exist" in results["reason"]


def test_a_cluster_that_is_down_is_an_answer(module: ModuleType, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "current-context: down\n"
        "contexts: [{name: down, context: {cluster: down}}]\n"
        "clusters: [{name: down, cluster: {server: 'http://127.0.0.1:1'}}]\n"
    )
    results = module.current_cluster({"kubeconfig": str(kubeconfig)})
    assert not results["answers"]
    assert "127.0.0.1:1" in results["reason"]
