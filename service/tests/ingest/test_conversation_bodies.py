"""Bodies of conversation topics: what the schemas say and what is read agree."""

from __future__ import annotations

import codecs
import copy
import json
from functools import cache

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.talks import prompt_body, response_body, session_body
from memory_graph.ingest.conversations.decode import decode_prompt, decode_response, decode_session
from memory_graph.ingest.conversations.schema import DIRECTORY, FILES, text
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.topics import DECODERS, PROMPTS, RESPONSES, SESSIONS
from memory_graph.model.numbers import number

CASES = {
    "prompt_event.schema.json": (prompt_body, decode_prompt),
    "response_event.schema.json": (response_body, decode_response),
    "session_event.schema.json": (session_body, decode_session),
}
BEYOND = ("timestamp", "empty", "event's own id", "names no tool", "bytes; at most", "less than")
"""Of what a schema cannot say."""


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((DIRECTORY / name).read_text()))


@pytest.mark.parametrize("name", FILES)
def test_the_schemas_shipped_are_those_of_the_types(name):
    assert (DIRECTORY / name).read_text() == text(FILES[name])


@pytest.mark.parametrize("name", CASES)
def test_a_whole_event_fits_its_schema_and_is_read(name):
    sample, read = CASES[name]
    validator(name).validate(json.loads(sample()))
    assert read(sample()).event_id == json.loads(sample())["eventId"]
    assert read(codecs.BOM_UTF8 + sample()) == read(sample())


def paths(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(inner, (*path, key))


def changed(sample: dict, path, value):
    """The sample with another value at a path; `...` takes it away."""
    copied = copy.deepcopy(sample)
    if not path:
        return {} if value is ... else value
    inside = copied
    for key in path[:-1]:
        inside = inside[key]
    if value is ... and isinstance(inside, dict):
        del inside[path[-1]]
    else:
        inside[path[-1]] = None if value is ... else value
    return copied


VALUES = st.one_of(
    st.just(...), st.none(), st.booleans(), st.integers(-5, 300), st.sampled_from([2**31, 2**63, 10**16, 2.5, 1e16]),
    st.floats(-3, 3), st.text(max_size=4), st.sampled_from(["", "x" * 257, "chat", "stop", "none", "session.ended"]),
    st.lists(st.one_of(st.text(max_size=2), st.integers()), max_size=3), st.just(["x"] * 65), st.just([{}]),
    st.dictionaries(st.text(max_size=2), st.one_of(st.text(max_size=2), st.none()), max_size=3),
    st.just({str(i): i for i in range(65)}), st.just({"name": "n"}), st.just({"unknown": 1}),
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=150)
@given(data=st.data())
def test_what_a_schema_refuses_is_refused_and_what_it_accepts_is_read(name, data):
    sample, read = CASES[name]
    whole = json.loads(sample())
    value = data.draw(VALUES)
    body = changed(whole, data.draw(st.sampled_from(list(paths(whole)))), value)
    fits = validator(name).is_valid(body)
    refused = None
    try:
        read(json.dumps(body).encode())
    except Rejected as raised:
        refused = str(raised)
    if refused is None and lenient(value):
        return  # the schemas are what to send; what proto3 JSON also allows is read
    if refused and isinstance(value, float) and abs(value) > 2**53:
        return  # a count that its sender rounded, which a schema takes for a whole number
    assert (refused is None) == fits or any(part in (refused or "") for part in BEYOND), (body, refused)


def lenient(value):
    return value in (0, 1) or (isinstance(value, str) and (value.lower() == "null" or number(value) is not None))


@pytest.mark.parametrize("form", [int, float, str, lambda n: f"{n}.0", lambda n: f"{n}e0"])
def test_numbers_are_those_of_proto3_json(form):
    usage = {"promptTokens": form(70), "completionTokens": None, "totalTokens": form(70)}
    call = {"name": "n", "durationMs": form(70), "retryCount": form(70)}
    answer = decode_response(
        response_body(usage=usage, response={"text": "x", "toolCalls": [call]}, metrics={"latency": form(70)})
    )
    assert (answer.body.usage.prompt_tokens, answer.body.usage.completion_tokens) == (70, None)
    tool_call = answer.body.response.tool_calls[0]
    assert (tool_call.duration_ms, tool_call.retry_count, answer.body.metrics.latency) == (70, 70, 70)
    model = {"id": "m", "parameters": {"maxTokens": form(70), "topK": form(70), "temperature": form(1)}}
    parameters = decode_prompt(prompt_body(model=model)).body.model.parameters
    assert (parameters.max_tokens, parameters.temperature) == (70, 1)
    for wrong in (7.5, "7.5", "NaN", "1_0", "", True):
        with pytest.raises(Rejected, match="promptTokens") as refused:
            decode_response(response_body(usage={"promptTokens": wrong}))
        assert refused.value.event_id == "r-1"


@pytest.mark.parametrize(
    ("read", "sample"), [(decode_prompt, prompt_body), (decode_response, response_body), (decode_session, session_body)]
)
@pytest.mark.parametrize("cut", [b"\\ud83d", b"\xff"])
def test_a_body_that_is_cut_names_its_event(read, sample, cut):
    body = sample("e-1", tags=["CUT"]).replace(b"CUT", cut)
    with pytest.raises(Rejected) as refused:
        read(body)
    assert refused.value.event_id == "e-1"
    assert refused.value.reason == "undecodable"
    with pytest.raises(Rejected, match="NaN and Infinity") as refused:
        read(sample("e-1", extra=float("nan")))
    assert refused.value.event_id == "e-1"
    with pytest.raises(Rejected, match="500 deep") as refused:
        read(sample("e-1", extra="DEEP").replace(b'"DEEP"', b"[" * 10**5 + b"]" * 10**5))
    assert refused.value.event_id == "e-1"


@pytest.mark.parametrize("part", [
    {"text": "", "finishReason": "tool_calls"}, {"finishReason": "function_call", "toolCalls": []},
    {"text": None, "toolCalls": [{"name": "search"}]}, {"functionCall": {"name": "search"}, "text": ""},
])  # fmt: skip
def test_a_response_that_only_calls_tools_needs_no_text(part):
    assert decode_response(response_body(response=part, error=None)).body.response.text in ("", None)


@pytest.mark.parametrize("part", [{"text": ""}, {"text": None, "finishReason": "stop"}, {}])
def test_a_response_of_nothing_is_refused(part):
    with pytest.raises(Rejected, match="the response is empty"):
        decode_response(response_body(response=part, error=None))


def test_texts_that_look_like_numbers_stay_texts():
    looks = {"a": "007", "b": "1e3", "c": "true", "d": "null", "e": "7.0", "f": "NaN"}
    assert decode_session(session_body(metadata=looks)).body.metadata == looks
    assert decode_prompt(prompt_body(tags=looks)).body.tags == looks
    assert decode_prompt(prompt_body(tags=list(looks.values()))).body.tags == list(looks.values())
    decoded = decode_response(response_body(error={"code": "007", "message": "null"}, response={"text": "007"})).body
    assert (decoded.error.code, decoded.error.message, decoded.response.text) == ("007", "null", "007")


def test_a_total_below_the_sum_is_refused():
    with pytest.raises(Rejected, match=r"usage\.totalTokens is 14, less than 10 and 5 together"):
        decode_response(response_body(usage={"promptTokens": 10, "completionTokens": 5, "totalTokens": 14}))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "no JSON event"),
        (b"\xff", "no JSON event"),
        (b'{"eventId": ' + b"[" * 100_000, "nested more than 500 deep"),
        (b'{"context": {"conversationHistory": ' + b"[" * 100_000, "nested more than 500 deep"),
        (prompt_body(timestamp="yesterday"), "timestamp"),
        (prompt_body(timestamp=0), "timestamp"),
        (prompt_body(timestamp=1e300), "timestamp"),
        (prompt_body(prompt={"text": ""}), r"\$\.prompt\.text"),
        (prompt_body(prompt={"text": "é" * 600_000}), r"prompt\.text is 1,200,000 bytes; at most 1,000,000"),
        (prompt_body().replace(b"userId", b"user"), "userId"),
        (b" " * 4_000_001, "4,000,001 bytes; at most 4,000,000"),
    ],
)
def test_a_prompt_that_is_none_is_refused_in_a_sentence(body, sentence):
    with pytest.raises(Rejected, match=sentence) as refused:
        decode_prompt(body)
    assert refused.value.event_type == "llm.prompt"
    assert refused.value.reason == ("undecodable" if sentence == "no JSON event" else "invalid")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"response": {}, "error": None}, "empty"),
        ({"promptEventId": "r-1"}, "own id"),
        ({"response": {"toolCalls": [{}]}}, r"toolCalls\[0\] names no tool"),
        ({"response": {"text": "x", "finishReason": "bored"}}, "finishReason"),
        ({"usage": {"promptTokens": -1}}, "promptTokens"),
    ],
)
def test_a_response_that_is_none_is_refused_in_a_sentence(changes, sentence):
    with pytest.raises(Rejected, match=sentence) as refused:
        decode_response(response_body(**changes))
    assert (refused.value.event_id, refused.value.event_type) == ("r-1", "llm.response")


@pytest.mark.parametrize("sent", ["2026-03-01T11:00:00+01:00", "2026-03-01T10:00:00", 1772359200000, 1772359200000.0])
def test_times_are_iso_8601_or_milliseconds(sent):
    assert decode_prompt(prompt_body(timestamp=sent)).at == 1_772_359_200_000_000_000


def test_topics_take_json_alone():
    assert DECODERS[PROMPTS](prompt_body(), "application/json; charset=utf-8")[0].key == json.loads(prompt_body())[
        "session"]["id"]  # fmt: skip
    assert DECODERS[RESPONSES](response_body(), "")[0].key == "p-1"
    assert DECODERS[SESSIONS](session_body(kind="ended"), "")[0].event_type == "llm.session.ended"
    for topic in (PROMPTS, RESPONSES, SESSIONS):
        with pytest.raises(Rejected, match="application/json"):
            DECODERS[topic](b"{}", "application/x-protobuf")
