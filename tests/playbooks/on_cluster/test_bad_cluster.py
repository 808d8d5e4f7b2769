"""The cluster alone can refuse these: the sentence says what, where and the way out, and nothing is half done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


def test_unreachable_cluster(playbooks, unreachable_kubeconfig: Path) -> None:
    output = playbooks.refused(memory_graph_kubeconfig=str(unreachable_kubeconfig))
    assert "https://127.0.0.1:1" in output
    assert str(unreachable_kubeconfig) in output


def test_verification_asks_the_cluster_that_was_named(playbooks, unreachable_kubeconfig: Path, tmp_path: Path) -> None:
    """Without a client certificate the pods' health is asked first, with one the round trip is."""
    certificate = tmp_path / "client.pem"
    certificate.touch()
    mutual_tls = {
        "memory_graph_tls": True,
        "memory_graph_existing_secret": "graph-certificate",
        "memory_graph_verify_tls_certificate": str(certificate),
        "memory_graph_verify_tls_key": str(certificate),
    }
    for variables in ({}, mutual_tls):
        output = playbooks.refused("verify", memory_graph_kubeconfig=str(unreachable_kubeconfig), **variables)
        assert "https://127.0.0.1:1" in output
        assert str(unreachable_kubeconfig) in output


def test_no_permission(playbooks, powerless_kubeconfig: Path, cluster, namespace: str, objects_of) -> None:
    output = playbooks.refused(memory_graph_kubeconfig=str(powerless_kubeconfig), memory_graph_create_namespace=False)
    assert "statefulsets" in output
    assert f"in namespace {namespace}" in output
    assert "have a Role granted" in output
    assert objects_of(namespace) == []


def test_missing_secret(playbooks, cluster, any_namespace: str, objects_of) -> None:
    output = playbooks.refused(memory_graph_tls=True, memory_graph_existing_secret="graph-certificate")
    assert "graph-certificate" in output
    assert objects_of(any_namespace) == []


def test_quota_too_small(playbooks, cluster, existing_namespace: str, objects_of) -> None:
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"limits.memory": "512Mi", "limits.cpu": "4"}}}
    cluster.request("POST", f"/api/v1/namespaces/{existing_namespace}/resourcequotas", None, quota)
    output = playbooks.refused()
    assert "team" in output
    assert "limits.memory" in output
    assert objects_of(existing_namespace) == []


def test_limit_range_too_small(playbooks, cluster, any_namespace: str, objects_of) -> None:
    output = playbooks.refused(memory_graph_limits={"max": {"memory": "64Mi"}})
    assert "LimitRange" in output
    assert "64Mi" in output
    assert objects_of(any_namespace) == []


def test_image_that_cannot_be_pulled(playbooks, any_namespace: str) -> None:
    output = playbooks.refused(memory_graph_image="host.invalid/memory-graph:9.9.9")
    assert "host.invalid/memory-graph:9.9.9" in output
    assert "ErrImagePull" in output or "ImagePullBackOff" in output
    assert f"kubectl -n {any_namespace}" in output


@pytest.fixture
def stuck_namespace(cluster, namespace: str) -> Iterator[str]:
    """A namespace that is being deleted and held by a finalizer."""
    path = f"/api/v1/namespaces/{namespace}"
    cluster.request(
        "POST",
        "/api/v1/namespaces",
        None,
        {"metadata": {"name": namespace, "finalizers": ["memory-graph.invalid/hold"]}},
    )
    cluster.delete(path)
    yield namespace
    cluster.request(
        "PATCH", path, None, {"metadata": {"finalizers": None}}, content_type="application/merge-patch+json"
    )


def test_namespace_stuck_terminating(playbooks, stuck_namespace: str) -> None:
    output = playbooks.refused()
    assert stuck_namespace in output
    assert "being deleted" in output
    assert "memory-graph.invalid/hold" in output
