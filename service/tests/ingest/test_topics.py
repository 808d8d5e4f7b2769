"""Each topic's bodies as events."""

from __future__ import annotations

import pytest

from ingest.samples import body, message
from memory_graph.config import Settings
from memory_graph.ingest.telemetry.events import COMPLETE, Rejected
from memory_graph.ingest.topics import DECODERS

TELEMETRY = DECODERS["llm-telemetry-events"]


def test_a_worker_reads_every_topic_that_has_a_decoder_unless_told_otherwise():
    assert Settings.model_fields["kafka_topics"].default == {topic: topic for topic in DECODERS}


@pytest.mark.parametrize("content_type", ["", "application/json", "Application/JSON; charset=utf-8"])
def test_telemetry_is_json_unless_it_says_otherwise(content_type):
    (event,) = TELEMETRY(body("e-1"), content_type)
    assert (event.event_id, event.event_type) == ("e-1", COMPLETE)


def test_telemetry_as_protobuf():
    sent = message("e-1", metadata={"session_id": "s-1"})
    (event,) = TELEMETRY(sent.SerializeToString(), "application/x-protobuf")
    assert (event.event_id, event.key) == ("e-1", "s-1")


def test_another_content_type_is_undecodable_and_the_sentence_names_those_that_are():
    with pytest.raises(Rejected, match=r"application/json or application/x-protobuf") as caught:
        TELEMETRY(body("e-1"), "avro/binary")
    assert caught.value.reason == "undecodable"


def test_the_key_is_the_session_else_the_trace_else_the_model():
    assert TELEMETRY(body("e", metadata={"session_id": "s"}), "")[0].key == "s"
    assert TELEMETRY(body("e"), "")[0].key == "trace-1"
    assert TELEMETRY(body("e", trace_id=""), "")[0].key == "large"
