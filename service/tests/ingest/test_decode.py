"""Bodies become the same events whatever their form; what is wrong is said in a sentence, and nothing else raised."""

from __future__ import annotations

import codecs
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.samples import AT_MS, PAYLOADS, body, message
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.decode import from_json, from_message, from_protobuf, split_request
from memory_graph.ingest.telemetry.events import BATCH_PAYLOADS, COMPLETE, FAILURE, LATENCY, START, TOKENS, Rejected
from memory_graph.ingest.telemetry.events import PAYLOADS as PAYLOAD_TYPES


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
        (AT_MS + 0.9, AT_MS),
        (str(AT_MS), AT_MS),
        ("2023-11-14t22:13:20.123z", AT_MS),
        ("2023-11-14 22:13:20.123+00:00", AT_MS),
        ("2023-11-14T22:13:20.123999999Z", AT_MS),
        ("20260301", 1_772_323_200_000),
        ("2026-03-01T10:00:00.289Z", 1_772_359_200_289),
    ],
)
def test_json_times(timestamp, milliseconds):
    assert from_json(body("e", timestamp=timestamp)).timestamp_ms == milliseconds


def test_a_byte_order_mark_says_nothing():
    assert from_json(codecs.BOM_UTF8 + body("e")) == from_json(body("e"))


def test_json_metadata_of_any_scalar_is_text():
    event = from_json(body("e", metadata={"a": "x", "b": 1, "c": True, "d": None}, trace_id=None))
    assert event.metadata == {"a": "x", "b": "1", "c": "true", "d": "null"}
    assert event.trace_id == ""


@pytest.mark.parametrize(
    ("sent", "reason", "sentence"),
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
def test_what_is_wrong_is_said(sent, reason, sentence):
    with pytest.raises(Rejected, match=sentence) as rejected:
        from_json(sent)
    assert rejected.value.reason == reason


@pytest.mark.parametrize(
    ("sent", "sentence"),
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
def test_what_is_wrong_in_a_message_is_said(sent, sentence):
    with pytest.raises(Rejected, match=sentence) as rejected:
        from_message(sent)
    assert (rejected.value.event_id, rejected.value.reason) == ("e", "invalid")


def test_an_invocation_that_starts_needs_no_status_and_an_error_needs_no_model():
    assert from_message(message("e", START)).payload.status == ""
    assert from_message(message("e", FAILURE, model_id="")).payload.model_id == ""
    assert from_message(message("e", status="timeout")).payload.status == "timeout"


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data):
    for decode in (from_json, from_protobuf):
        with pytest.raises(Rejected):
            decode(data)


_JSON = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.just([1]), st.just({"a": [None]})
)


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


@pytest.mark.parametrize(
    ("sent", "reason", "sentence"),
    [
        (body("e", metadata={"x": "CUT"}).replace(b"CUT", b"cut \\ud83d"), "undecodable", "surrogate pair"),
        (body("e", metadata={"CUT": "x"}).replace(b"CUT", b"cut \\ud83d"), "undecodable", "surrogate pair"),
        (body("e", metadata={"x": "CUT"}).replace(b"CUT", b"\xff"), "undecodable", "utf-8"),
        (body("e", metadata={"x": float("nan")}), "undecodable", "NaN and Infinity"),
        (body("e", metadata={"x": -float("inf")}), "undecodable", "NaN and Infinity"),
        (body("e", metadata={"x": "y" * 1_000_001}), "invalid", "1,000,000 are accepted"),
        (body("e", payload={"x": "DEEP"}).replace(b'"DEEP"', b"[" * 501 + b"]" * 501), "invalid", "500 deep"),
        (body("e", metadata={"x": "DEEP"}).replace(b'"DEEP"', b"[" * 10**5 + b"]" * 10**5), "invalid", "500 deep"),
        (body("e", extra="DEEP").replace(b'"DEEP"', b'{"a":' * 10**5 + b"1" + b"}" * 10**5), "invalid", "500 deep"),
        (body("e", metadata={"x": {}}), "invalid", r"\$\.metadata"),
        (body("e", timestamp=None), "invalid", "timestamp"),
        (body("e", timestamp=1_772_359_200), "invalid", "as seconds are today"),
        (body("e", timestamp=1_772_359_200.25), "invalid", "as seconds are today"),
        (body("e", timestamp="1_772_359_200_250"), "invalid", "ISO 8601"),
    ],
)  # fmt: skip
def test_the_id_is_named_whatever_is_wrong(sent, reason, sentence):
    with pytest.raises(Rejected, match=sentence) as rejected:
        from_json(sent)
    assert rejected.value.event_id == "e"
    assert rejected.value.reason == reason


def test_what_is_nested_within_the_bound_is_taken():
    deep = body("e", extra="DEEP").replace(b'"DEEP"', b"[" * 499 + b"]" * 499)
    assert from_json(deep).event_id == "e"


def test_protobuf_that_is_cut_names_its_id():
    sent = message("e", metadata={"x": "abc"}).SerializeToString().replace(b"abc", b"a\xffc")
    with pytest.raises(Rejected, match="not UTF-8") as rejected:
        from_protobuf(sent)
    assert rejected.value.event_id == "e"
    assert split_request(pb.EventRequest(events=[message("a"), message("b")]).SerializeToString()) == [
        message("a").SerializeToString(),
        message("b").SerializeToString(),
    ]
    assert split_request(b"nothing") == []


@pytest.mark.parametrize("event_type", [*PAYLOADS, "llm.metrics.aggregated", "llm.performance.daily_summary"])
@pytest.mark.parametrize("form", [lambda n: n, float, str, lambda n: f"{n}.0", lambda n: f"{n}e0"])
def test_numbers_are_those_of_proto3_json(event_type, form):
    base = {**PAYLOADS.get(event_type, {"model_id": "m", "metric": "p50", "date": "2026-03-01"})}
    numbers = {field.name for field in msgspec.structs.fields((PAYLOAD_TYPES | BATCH_PAYLOADS)[event_type])
               if field.type in (int, float)}  # fmt: skip
    for name in sorted(numbers):
        at = 1_772_359_200_250 if name.startswith("window") else 70
        required = {"window_end_ms": at} if name == "window_start_ms" else {}
        required |= {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0} if event_type == TOKENS else {}
        event = from_json(body("e", event_type, payload={**base, **required, name: form(at)}), batch=True)
        assert getattr(event.payload, name) == at
        absent = from_json(
            body("e", event_type, payload={**base, **required, "window_start_ms": None, name: None}), batch=True
        )
        assert getattr(absent.payload, name) == 0
        if type(getattr(event.payload, name)) is int:
            with pytest.raises(Rejected, match=name):
                from_json(body("e", event_type, payload={**base, name: 7.5}), batch=True)
        for wrong in ("NaN", "Infinity", "-Infinity", "1_0", "", " 7", True, [], {}):
            with pytest.raises(Rejected, match=name if name != "window_start_ms" else "window"):
                from_json(body("e", event_type, payload={**base, name: wrong}), batch=True)


def test_null_texts_are_absent():
    event = from_json(body("e", payload={"model_id": "null", "provider": None, "status": "success"}))
    assert (event.payload.model_id, event.payload.provider) == ("null", "")


@pytest.mark.parametrize(("total", "right"), [(0, True), (6, False), (7, True), (100, True)])
def test_a_total_below_the_sum_is_refused(total, right):
    sent = body("e", TOKENS, payload={**PAYLOADS[TOKENS], "total_tokens": total})
    if right:
        assert from_json(sent).payload.total_tokens == total
        return
    with pytest.raises(Rejected, match="less than 3 and 4 together"):
        from_json(sent)


@pytest.mark.parametrize("at", [1, 1_772_359_200])
def test_a_stream_that_sends_seconds_is_told(at):
    with pytest.raises(Rejected, match="give milliseconds"):
        from_message(message("e", at=at))
