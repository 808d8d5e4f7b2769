"""Bodies become the same events whatever their form; what is wrong is said in a sentence, and nothing else raised."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.samples import AT_MS, PAYLOADS, body, message
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.decode import from_json, from_message, from_protobuf
from memory_graph.ingest.telemetry.events import COMPLETE, FAILURE, LATENCY, START, TOKENS, Rejected


@pytest.mark.parametrize("event_type", PAYLOADS)
def test_json_and_protobuf_say_the_same(event_type):
    sent = message("e-1", event_type, metadata={"session_id": "s"})
    event = from_message(sent)
    assert from_protobuf(sent.SerializeToString()) == event
    assert from_json(body("e-1", event_type, metadata={"session_id": "s"})) == event
    assert (event.event_id, event.timestamp_ms, event.trace_id, event.span_id) == ("e-1", AT_MS, "trace-1", "span-1")


@pytest.mark.parametrize(
    ("timestamp", "milliseconds"),
    [
        ("2023-11-14T22:13:20.123Z", AT_MS),
        ("2023-11-14T23:13:20.123+01:00", AT_MS),
        ("2023-11-14T22:13:20.123", AT_MS),
        (AT_MS, AT_MS),
        (float(AT_MS), AT_MS),
    ],
)
def test_json_times(timestamp, milliseconds):
    assert from_json(body("e", timestamp=timestamp)).timestamp_ms == milliseconds


def test_json_metadata_of_any_scalar_is_text():
    event = from_json(body("e", metadata={"a": "x", "b": 1, "c": True, "d": None}, trace_id=None))
    assert event.metadata == {"a": "x", "b": "1", "c": "true", "d": "null"}
    assert event.trace_id == ""


@pytest.mark.parametrize(
    ("sent", "reason", "says"),
    [
        (b"", "undecodable", "no JSON event"),
        (b"\xff", "undecodable", "no JSON event"),
        (b"[]", "undecodable", "no JSON event"),
        (b'{"event_id": "e"}', "invalid", "event_type"),
        (body("e", "llm.unheard.of"), "unknown_type", "llm.tokens.consumed"),
        (body("e", "llm.metrics.aggregated"), "unknown_type", "/api/v1/telemetry/batch"),
        (body("e", timestamp="yesterday"), "invalid", "ISO 8601"),
        (body("e", timestamp=0), "invalid", "timestamp"),
        (body("e", timestamp=2**62), "invalid", "timestamp"),
        (body("e", timestamp=1e300), "invalid", "timestamp"),
        (body("e", payload={"model_id": 7}), "invalid", "payload"),
        (body("e", payload={"model_id": "m", "status": "success", "token_count": 2**40}), "invalid", "token_count"),
        (body(""), "invalid", "event_id"),
        (body("e" * 300), "invalid", "event_id"),
        (body("e", metadata={str(i): "" for i in range(65)}), "invalid", "65 entries"),
        (body("e", metadata={"x": "y" * 1_000_001}), "invalid", "bytes"),
        (body("e-0", FAILURE), "invalid", "names itself"),
        (b'{"event_id": "\\ud800", "event_type": "x", "timestamp": 1, "payload": {}}', "undecodable", "JSON"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(sent, reason, says):
    with pytest.raises(Rejected, match=says) as rejected:
        from_json(sent)
    assert rejected.value.reason == reason


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (message("e", model_id=""), "model_id"),
        (message("e", status="done"), "status"),
        (message("e", status=""), "status"),
        (message("e", latency_ms=float("nan")), "latency_ms"),
        (message("e", latency_ms=float("inf")), "latency_ms"),
        (message("e", token_count=-1), "token_count"),
        (message("e", TOKENS, prompt_tokens=-1), "prompt_tokens"),
        (message("e", LATENCY, percentile=101), "percentile"),
        (message("e", LATENCY, percentile=float("nan")), "percentile"),
        (message("e", FAILURE, error_type=""), "error_type"),
        (message("e", at=-5), "timestamp"),
        (pb.Event(event_id="e", event_type=COMPLETE, timestamp_ms=1), "carries payload.invocation, not none"),
        (pb.Event(event_id="e", event_type=TOKENS, timestamp_ms=1, payload=message("x").payload), "payload.tokens"),
    ],
)
def test_what_is_wrong_in_a_message_is_said(sent, says):
    with pytest.raises(Rejected, match=says) as rejected:
        from_message(sent)
    assert (rejected.value.event_id, rejected.value.reason) == ("e", "invalid")


def test_an_invocation_that_starts_needs_no_status_and_an_error_needs_no_model():
    assert from_message(message("e", START)).payload.status == ""
    assert from_message(message("e", FAILURE, model_id="")).payload.model_id == ""
    assert from_message(message("e", status="timeout")).payload.status == "timeout"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data):
    for decode in (from_json, from_protobuf):
        with pytest.raises(Rejected):
            decode(data)


_JSON = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.just([1]), st.just({"a": [None]})
)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(PAYLOADS)),
    st.dictionaries(st.sampled_from(["event_id", "timestamp", "metadata", "trace_id"]), _JSON),
    st.dictionaries(st.sampled_from(["model_id", "status", "latency_ms", "token_count", "percentile"]), _JSON),
)
def test_no_json_raises_anything_else(event_type, changed, payload):
    whole = json.loads(body("e", event_type, payload={**PAYLOADS[event_type], **payload}))
    sent = json.dumps({**whole, **changed}).encode()
    try:
        event = from_json(sent)
    except Rejected:
        return
    assert json.loads(sent)["event_id"] == event.event_id
