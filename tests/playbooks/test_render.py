"""What the objects say, read from files: no cluster is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml


def probes(folder: Path) -> dict[str, dict[str, Any]]:
    """What each probe of the workload asks."""
    (container,) = yaml.safe_load((folder / "statefulset-memory-graph.yaml").read_text())["spec"]["template"]["spec"][
        "containers"
    ]
    timing = {"periodSeconds", "timeoutSeconds", "failureThreshold"}
    return {
        name.removesuffix("Probe"): {key: value for key, value in asked.items() if key not in timing}
        for name, asked in container.items()
        if name.endswith("Probe")
    }


PLAIN = {"grpc": {"port": 50051}}
READY = {"httpGet": {"path": "/healthz", "port": 9090}}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"startup": PLAIN, "readiness": PLAIN, "liveness": {"grpc": {"port": 50051, "service": "liveness"}}}),
        (
            {"memory_graph_tls": True, "memory_graph_existing_secret": "graph-certificate"},
            {"startup": READY, "readiness": READY, "liveness": {"httpGet": {"path": "/metrics", "port": 9090}}},
        ),
    ],
    ids=["plain", "TLS"],
)
def test_a_full_store_takes_traffic_away_and_restarts_nothing(playbooks, tmp_path, variables, expected) -> None:
    rendered = playbooks.run("render", memory_graph_render_directory=str(tmp_path / "objects"), **variables)
    assert rendered.returncode == 0, rendered.stdout
    assert probes(tmp_path / "objects") == expected
