"""What can be refused without asking a cluster: one sentence each, and nothing is written."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        pytest.param(
            {"memory_graph_replica": 1},
            "memory_graph_replica is not a variable of role memory_graph; did you mean memory_graph_replicas?",
            id="unknown-variable",
        ),
        pytest.param(
            {"memory_graph_store": "sqlite3"},
            "value of memory_graph_store must be one of: embedded, got: sqlite3",
            id="unknown-choice",
        ),
        pytest.param(
            {"memory_graph_max_connections": "many"},
            "argument 'memory_graph_max_connections' is of type",
            id="mistyped",
        ),
        pytest.param(
            {"memory_graph_resources": {"request": {"cpu": 1}}},
            "memory_graph_resources.request. Supported parameters include: limits, requests",
            id="unknown-key",
        ),
        pytest.param(
            {"memory_graph_replicas": 3},
            "memory_graph_replicas is 3, but the embedded store has one writer: set it to 1",
            id="replicas",
        ),
        pytest.param({"memory_graph_image": "memory-graph"}, "does not say which version runs", id="image-without-tag"),
        pytest.param(
            {"memory_graph_image": "host.invalid:5000/memory-graph:latest"},
            "does not say which version runs",
            id="latest",
        ),
        pytest.param({"memory_graph_tls": True}, "nothing gives tls.crt, tls.key: set", id="tls-without-secret"),
        pytest.param(
            {"memory_graph_tls_client_auth": True},
            "client certificates need TLS, set memory_graph_tls: true",
            id="mtls",
        ),
        pytest.param(
            {"memory_graph_plugins_source": "image"}, "memory_graph_plugins_image is empty", id="plugins-without-image"
        ),
        pytest.param(
            {"memory_graph_drain_seconds": 60}, "a pod takes up to 60 seconds to stop", id="grace-shorter-than-drain"
        ),
    ],
)
def test_refused(playbooks, variables: dict[str, object], sentence: str) -> None:
    assert sentence in playbooks.refused("render", memory_graph_render_directory="/nonexistent/never-made", **variables)
