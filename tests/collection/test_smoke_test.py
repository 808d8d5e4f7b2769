"""The collection's smoke test speaks to the service in the calls that the service understands."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._smoke_test import (
    open_channel,
    smoke_test,
)
from ansible_collections.llm_devops.memory_graph.plugins.modules.smoke_test import WRITES

LIMIT_S = 60.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The ports of `memory-graph serve` on a store of its own."""
    settings = {"GRPC_PORT": "0", "METRICS_PORT": "0", "REST_PORT": "0", "DB_PATH": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "memory_graph.cli", "serve"],
        env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = next(line for line in process.stdout if '"listening"' in line)
    yield dict(re.findall(r'"(\w+_port)": ?(\d+)', line))
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    assert process.wait(LIMIT_S) == 0


def rows(file: Path) -> dict[str, list[str]]:
    """Return the rows of the store, except the tenant's name of the smoke test and numbers that only rise."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    tables = ("nodes", "node_history", "edges", "edge_history", "sessions", "counts", "attributes", "changes")
    rows_by_table = {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}
    connection.close()
    return rows_by_table


def count_writes(port: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S) as answer:
        counter = WRITES.search(answer.read().decode())
    return int(float(counter[1])) if counter else 0


def test_a_smoke_test_of_the_service_is_counted_and_leaves_nothing(service, tmp_path) -> None:
    before = rows(tmp_path / "memory-graph.db")
    for done in (1, 2):
        with open_channel(f"127.0.0.1:{service['grpc_port']}", None, LIMIT_S) as channel:
            measured = smoke_test(channel, LIMIT_S)
        assert measured.pod == socket.gethostname()
        assert count_writes(service["metrics_port"]) == done
    assert rows(tmp_path / "memory-graph.db") == before
