"""docs/reference/metrics.md lists every metric that a running server shows."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from support.server import Serve

PAGE = Path(__file__).parents[3] / "docs/reference/metrics.md"


def test_every_metric_of_a_server_is_on_the_page(serve: Serve) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{serve().metrics_port}/metrics", timeout=30) as answer:
        families = {family.name: family.type for family in text_string_to_metric_families(answer.read().decode())}
    listed = {
        (name.strip(" `").removesuffix("_total" * (kind.strip() == "counter")), kind.strip())
        for name, kind in (row.split("|")[1:3] for row in PAGE.read_text().splitlines() if row.startswith("| `"))
    }
    ours = [name for name in families if "memory_graph" in name or "circuit_breaker" in name]
    reported = {(name, families[name]) for name in ours if not name.endswith("_created")}
    assert len(reported) > 20
    assert reported - listed == set()
