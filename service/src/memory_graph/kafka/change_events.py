"""Records of the change feed, made from commits. Pure.

A body is the JSON form of the contract's Event (contract §1; protobuf's JSON mapping), so both a JSON reader and one
that parses it into the message understand it. The key keeps what belongs to a session in one partition, in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache

import msgspec

from memory_graph.kafka.producer import Headers, ProducerRecord
from memory_graph.model.kinds import EventType
from memory_graph.model.times import NS_PER_S
from memory_graph.store.commits import Commit

SCHEMA_VERSION = b"1"
SOURCE = b"memory-graph"
_TYPES = {type: f"EVENT_TYPE_{type.name}" for type in EventType}


class _Payload(msgspec.Struct):
    id: str
    kind: str
    session_id: str | None


class _EventBody(msgspec.Struct):
    id: str
    type: str
    timestamp: str
    payload: str


_encode = msgspec.json.Encoder().encode


def records_of(commits: Sequence[Commit], topic: str) -> Iterator[ProducerRecord]:
    """Yield a record for each event of the commits, in order, with the id that the event has in every change feed."""
    for commit in commits:
        headers = _headers(commit.tenant)
        for event in commit.events:
            payload = _encode(_Payload(event.subject_id, event.kind, event.session_id)).decode()
            body = _EventBody(event.id, _TYPES[event.type], _time(event.at), payload)
            key = event.session_id or event.subject_id
            yield ProducerRecord(topic, key.encode(), _encode(body), headers)


@cache
def _headers(tenant: str) -> Headers:
    return (
        ("tenant-id", tenant.encode()),
        ("schema_version", SCHEMA_VERSION),
        ("source", SOURCE),
        ("content-type", b"application/json"),
    )


def _time(ns: int) -> str:
    seconds, fraction = divmod(ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
