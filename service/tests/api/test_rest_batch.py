"""Batches of telemetry over REST, by real HTTP."""

from __future__ import annotations

import base64
import codecs
import gzip
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from ingest.samples import body
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.ids import new_id
from support.server import Serve, ServerProcess
from support.telemetry import metric, stored_ids

BATCH = "/api/v1/telemetry/batch"


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: dict


def ask(server: ServerProcess, method: str, path: str, sent: bytes | None = None, **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)
    try:
        connection.request(method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, json.loads(reply.read() or b"null"))
    finally:
        connection.close()


def batch(*ids: str, **changed: object) -> bytes:
    return json.dumps({"batch_id": "b-1", "events": [json.loads(body(id)) for id in ids], **changed}).encode()


def post(server: ServerProcess, sent: bytes, **headers: str) -> Reply:
    return ask(server, "POST", BATCH, sent, **{"Content_Type": "application/json", **headers})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    started = ServerProcess(tmp_path_factory.mktemp("rest"), {"MAX_MESSAGE_BYTES": "2000000"}).wait_ready()
    yield started
    assert started.stop() == 0


def node(server: ServerProcess, event_id: str) -> pb.Node:
    with grpc.insecure_channel(server.address) as channel:
        return MemoryGraphServiceStub(channel).GetNode(pb.GetNodeRequest(node_id=node_id(event_id)))


@pytest.mark.parametrize("form", ["plain", "gzip", "chunked gzip", "events gzip", "two members", "marked"])
def test_a_batch_is_stored_when_it_is_answered(server: ServerProcess, form: str) -> None:
    ids = [new_id() for _ in range(3)]
    sent, headers = batch(*ids), {}
    if form == "events gzip":
        events = codecs.BOM_UTF8 + json.dumps([json.loads(body(id)) for id in ids]).encode()
        packed = base64.b64encode(gzip.compress(events)).decode()
        sent = json.dumps({"batch_id": "b-1", "events": packed, "compression": "gzip"}).encode()
    elif form == "two members":
        sent, headers = gzip.compress(sent[:50]) + gzip.compress(sent[50:]), {"Content_Encoding": "gzip"}
    elif form == "marked":
        sent = codecs.BOM_UTF8 + sent
    elif form != "plain":
        sent, headers = gzip.compress(sent), {"Content_Encoding": "gzip"}
    if form == "chunked gzip":
        sent = iter([sent[:10], sent[10:]])
    reply = post(server, sent, **headers)
    assert (reply.status, reply.headers["X-API-Version"]) == (200, "1")
    assert reply.body.pop("processing_time_ms") > 0
    assert reply.body == {
        "batch_id": "b-1", "status": "completed", "processed_count": 3, "failed_count": 0, "failures": []}  # fmt: skip
    assert [node(server, id).invocation.model_id for id in ids] == ["large"] * 3
    again = post(server, batch(*ids))
    assert (again.body["status"], again.body["processed_count"]) == ("completed", 3)


def test_what_is_sent_by_batch_alone_is_stored_as_metrics(server: ServerProcess) -> None:
    window = {"window_start_ms": 1_700_000_000_000, "window_end_ms": 1_700_000_060_000}
    mean = {"model_id": "large", "metric": "latency_mean", "value": 12.5, "unit": "ms", "count": 7, **window}
    day = {"model_id": "large", "provider": "acme", "date": "2026-03-01", "requests": 9, "errors": 1, "cost": 0.5,
           "latency_p95_ms": 30.5}  # fmt: skip
    events = [
        json.loads(body("aggregated", "llm.metrics.aggregated", payload=mean)),
        json.loads(body("summary", "llm.performance.daily_summary", payload=day)),
    ]
    reply = post(server, json.dumps({"events": events}).encode())
    assert reply.body["status"] == "completed"
    assert len(reply.body["batch_id"]) == 36
    stored = node(server, "aggregated").metric
    assert (stored.name, stored.value, stored.unit) == ("llm.metrics.aggregated", 12.5, "ms")
    assert stored.metadata["metric"] == "latency_mean"
    stored = node(server, "summary").metric
    assert (stored.name, stored.value) == ("llm.performance.daily_summary", 9)
    assert (stored.metadata["date"], stored.metadata["latency_p95_ms"]) == ("2026-03-01", "30.5")


def test_events_that_cannot_be_stored_are_named_and_the_others_are_stored(server: ServerProcess) -> None:
    good, bad = new_id(), new_id()
    events = [json.loads(body(good)), {"event_id": bad, "event_type": "llm.unknown"}, 7]
    reply = post(server, json.dumps({"events": events}).encode())
    assert (reply.status, reply.body["status"]) == (200, "partial")
    assert (reply.body["processed_count"], reply.body["failed_count"]) == (1, 2)
    assert [(failure["index"], failure["event_id"]) for failure in reply.body["failures"]] == [(1, bad), (2, "")]
    assert node(server, good).id == good
    assert metric(server, 'llm_memory_graph_events_dropped_total{event_type="unknown",reason="undecodable"}') == 1
    assert metric(server, 'llm_memory_graph_events_received_total{event_type="unknown",source="rest"}') == 2


def spoilt(id: str, value: bytes) -> bytes:
    return body(id, metadata={"x": "SPOILT"}).replace(b'"SPOILT"', value)


@pytest.mark.parametrize("form", ["plain", "compressed"])
def test_an_event_that_is_no_json_fails_alone_with_its_index_and_id(server: ServerProcess, form: str) -> None:
    ids = [new_id() for _ in range(9)]
    wrong = [b'"cut \\ud83d"', b"NaN", b"-Infinity", b"Infinity", b'"\xff"', b"[" * 50_000 + b"]" * 50_000, b"nan"]
    events = [body(ids[0]), *(spoilt(id, value) for id, value in zip(ids[1:8], wrong, strict=True)), body(ids[8])]
    events.append(body(ids[0]))
    array = b"[" + b", ".join(events) + b"]"
    if form == "compressed":
        packed = base64.b64encode(gzip.compress(array)).decode()
        reply = post(server, json.dumps({"batch_id": "b", "events": packed, "compression": "gzip"}).encode())
    else:
        reply = post(server, b'{"batch_id": "b", "events": ' + array + b', "other": {"a": [1]}}')
    assert reply.status == 200, reply.body
    assert (reply.body["batch_id"], reply.body["processed_count"], reply.body["failed_count"]) == ("b", 3, 7)
    assert [(failure["index"], failure["event_id"]) for failure in reply.body["failures"]] == list(enumerate(ids))[1:8]
    assert "cut it between characters" in reply.body["failures"][0]["error"]
    assert node(server, ids[0]).id
    assert node(server, ids[8]).id


def test_an_answer_does_not_grow_with_what_is_wrong(server: ServerProcess) -> None:
    long = [{**json.loads(body("x" * 15_000)), "event_type": "y" * 500} for _ in range(100)]
    reply = post(server, json.dumps({"events": long, "batch_id": None, "compression": None}).encode())
    assert reply.body["batch_id"]
    assert reply.body["failed_count"] == 100
    assert all(len(failure["event_id"]) == 256 and len(failure["error"]) < 1_600 for failure in reply.body["failures"])


GZIP = {"Content_Encoding": "gzip"}
NO_BATCHES: dict[str, tuple[Callable[[], bytes], dict[str, str], int, str]] = {
    "nothing": (lambda: b"", {}, 400, "no batch"),
    "an object": (lambda: b"{}", {}, 400, "events"),
    "too deep": (lambda: b"[" * 100_000, {}, 400, "no batch"),
    "events without their compression": (lambda: b'{"events": "x"}', {}, 400, "compression"),
    "no base64": (lambda: b'{"events": "!", "compression": "gzip"}', {}, 400, "base64"),
    "another compression": (lambda: b'{"events": "", "compression": "zip"}', {}, 400, "compression"),
    "too many": (lambda: json.dumps({"events": [0] * 10_001}).encode(), {}, 400, "10,001 events"),
    "no gzip": (lambda: b"x", GZIP, 400, "gzip"),
    "gzip that is cut off": (lambda: gzip.compress(b"{}")[:-4], GZIP, 400, "end is missing"),
    "another encoding": (lambda: b"{}", {"Content_Encoding": "br"}, 415, "br"),
    "another type": (lambda: b"{}", {"Content_Type": "text/csv"}, 415, "text/csv"),
    "too long": (lambda: b"x" * 2_000_001, {}, 413, "2,000,000 bytes"),
    "a bomb": (lambda: gzip.compress(b" " * 400_000_000, 9), GZIP, 413, "2,000,000 bytes"),
    "a bomb in base64": (
        lambda: json.dumps({"compression": "gzip", "events": base64.b64encode(gzip.compress(b" " * 3_000_000)).decode()}
                           ).encode(), {}, 413, "2,000,000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "headers", "status", "detail"), NO_BATCHES.values(), ids=NO_BATCHES)
def test_a_batch_that_is_none_is_refused_with_problem_details(
    server: ServerProcess, sent: Callable[[], bytes], headers: dict[str, str], status: int, detail: str
) -> None:
    reply = post(server, sent(), **headers)
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json")
    assert (reply.body["type"], reply.body["status"]) == ("about:blank", status)
    assert detail in reply.body["detail"]
    assert node_count(server) >= 0


def node_count(server: ServerProcess) -> float:
    """The server is well: it answers."""
    return metric(server, "memory_graph_nodes_total")


def test_other_paths_and_methods_are_problems_too(server: ServerProcess) -> None:
    assert ask(server, "GET", "/nowhere").body["status"] == 404
    refused = ask(server, "GET", BATCH)
    assert (refused.status, refused.headers["Content-Type"]) == (405, "application/problem+json")


def test_health_readiness_breakers_and_openapi(server: ServerProcess) -> None:
    assert ask(server, "GET", "/health").body["status"] == "alive"
    assert ask(server, "GET", "/ready").body == {"status": "ready"}
    assert ask(server, "GET", "/health/circuit-breaker").body == {"store": "closed"}
    described = ask(server, "GET", "/openapi.json").body
    assert described["openapi"].startswith("3.1")
    assert BATCH in described["paths"]


def test_while_the_store_is_away_a_client_is_told_when_to_come_again(serve: Serve, small_disk: Path) -> None:
    server = serve(small_disk / "data", REQUEST_TIMEOUT_MS=1_000)
    sent, refused = [], None
    while refused is None:
        ids = [new_id() for _ in range(2_000)]
        reply = post(server, batch(*ids))
        if reply.status == 200:
            sent += ids
        else:
            refused = reply
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert ask(server, "GET", "/ready").status in (200, 503)
    (small_disk / "ballast").unlink()
    while post(server, batch(*ids)).status != 200:
        pass
    with grpc.insecure_channel(server.address) as channel:
        stored = stored_ids(channel)
    assert sorted(stored) == sorted([*sent, *ids])


def test_many_clients_at_once_and_the_end_answers_those_that_were_taken(serve: Serve) -> None:
    server = serve()
    acked: list[str] = []
    begun = threading.Semaphore(0)

    def client() -> None:
        for _ in range(200):
            ids = [new_id() for _ in range(50)]
            try:
                if post(server, batch(*ids)).status == 200:
                    acked.extend(ids)
            except (TimeoutError, ConnectionError, http.client.HTTPException):
                return
            begun.release()

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    for _ in range(16):
        begun.acquire()
    assert server.stop() == 0
    for thread in clients:
        thread.join()
    with grpc.insecure_channel(serve(server.data).address) as channel:
        assert set(acked) <= set(stored_ids(channel))
