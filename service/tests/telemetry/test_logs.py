"""Log lines are JSON, carry the contract's keys, and never content or a secret."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from memory_graph.telemetry.logs import configure_logging


@pytest.fixture
def stream():
    """Capture the log lines; restores the root logger."""
    root = logging.getLogger()
    before = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("info", stream)
    yield stream
    root.handlers, level = before
    root.setLevel(level)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_contracts_keys_first(stream):
    with structlog.contextvars.bound_contextvars(trace_id="t", tenant_id="default"):
        structlog.get_logger("memory_graph.server").info("listening", grpc_port=50051)
    (line,) = lines(stream)
    keys = ["timestamp", "level", "service", "trace_id", "span_id", "tenant_id", "event_id", "message", "grpc_port"]
    assert list(line) == keys
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "level": "info",
        "service": "memory-graph",
        "trace_id": "t",
        "span_id": None,
        "tenant_id": "default",
        "event_id": None,
        "message": "listening",
        "grpc_port": 50051,
    }


def test_libraries_log_through_it(stream):
    logging.getLogger("grpc._server").error("went %s", "wrong")
    (line,) = lines(stream)
    assert (line["level"], line["message"], line["logger"]) == ("error", "went wrong", "grpc._server")


def test_levels_below_are_left_out(stream):
    structlog.get_logger("x").debug("no")
    logging.getLogger("y").debug("no")
    assert lines(stream) == []


def test_content_and_secrets_are_withheld_at_any_depth(stream):
    structlog.get_logger("x").info(
        "request",
        content="C",
        Authorization="C",
        registry_api_key="C",
        headers={"authorization": "C", "x-request-id": "1"},
        items=[{"password": "C"}],
        prompt_tokens=7,
        status="ok",
    )
    (line,) = lines(stream)
    assert '"C"' not in stream.getvalue()
    assert line["headers"] == {"authorization": "[withheld]", "x-request-id": "1"}
    assert (line["prompt_tokens"], line["status"]) == (7, "ok")


def test_an_exception_is_one_line(stream):
    try:
        int("x\ny")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    (line,) = lines(stream)
    assert line["exception"].splitlines()[-1].startswith("ValueError: ")


def test_what_json_cannot_hold_does_not_break_the_line(stream):
    structlog.get_logger("x").info("odd", value=object(), raw=b"\xff", lone="\ud800")
    assert lines(stream)[0]["message"] == "odd"
