"""A server that cannot start says why, in one sentence for each problem."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support.server import Serve


def test_a_store_that_cannot_be_used_stops_the_start(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "broken"
    data.mkdir()
    (data / "memory-graph.db").write_bytes(b"this is no database, " * 500)
    server = serve(data, ready=False)
    assert server.wait() == 1
    text = "".join(server.output)
    assert str(data / "memory-graph.db") in text
    assert "backup" in text
    assert "Traceback" not in text


def test_two_servers_on_one_store_are_refused(serve: Serve) -> None:
    first = serve()
    second = serve(first.data, ready=False)
    assert second.wait() == 1
    assert "another process" in "".join(second.output)


def test_a_taken_port_is_named(serve: Serve) -> None:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = occupied.getsockname()[1]
        for name in ("GRPC_PORT", "METRICS_PORT", "REST_PORT"):
            server = serve(ready=False, **{name: port})
            assert server.wait() == 1
            text = "".join(server.output)
            assert f":{port}" in text
            assert name in text


def test_a_data_directory_that_may_not_be_written_is_named(serve: Serve, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    server = serve(blocked / "data", ready=False)
    assert server.wait() == 1
    assert f"DB_PATH={blocked / 'data'}" in "".join(server.output)


@pytest.mark.parametrize(
    ("name", "wrong", "allowed"),
    [
        ("GRPC_PORT", "70000", "65535"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("MAX_CONNECTIONS", "many", "integer"),
        ("REQUEST_TIMEOUT_MS", "0", "greater than 0"),
        ("TLS_CERT_FILE", "/nowhere.pem", "TLS_KEY_FILE"),
        ("STORE", "oracle", "'embedded' or 'neo4j'"),
        ("STORE", "neo4j", "NEO4J_URI"),
        ("NEO4J_PASSWORD_FILE", "/nowhere/password", "cannot be read"),
    ],
)
def test_a_wrong_setting_stops_the_start(serve: Serve, name: str, wrong: str, allowed: str) -> None:
    server = serve(ready=False, **{name: wrong})
    assert server.wait() == 2
    text = "".join(server.output)
    assert name in text
    assert allowed in text
    assert "Traceback" not in text


def test_every_problem_of_the_settings_is_told_at_once(serve: Serve) -> None:
    server = serve(ready=False, MAX_CONNECTIONS="0", PLUGIN_TIMEOUT_MS="x")
    assert server.wait() == 2
    assert "MAX_CONNECTIONS='0'" in "".join(server.output)
    assert "PLUGIN_TIMEOUT_MS='x'" in "".join(server.output)
