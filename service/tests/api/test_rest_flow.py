"""REST while the pipeline is full, the store is slow, or a client dawdles: by real HTTP, in this process."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from ingest.pipeline_harness import PipelineHarness, until
from ingest.samples import body
from memory_graph.api.rest.app import application
from memory_graph.api.rest.batch import BatchEndpoint
from memory_graph.api.rest.body import BodyReader
from memory_graph.api.rest.server import RestServer
from memory_graph.ingest.telemetry.events import COMPLETE

LIMIT = 100_000


class RestHarness:
    """A REST server over a store that tests block, end and bring back."""

    def __init__(self, *, max_wait_s: float, **options: object) -> None:
        self.harness = PipelineHarness(**options)
        pipeline = self.harness.pipeline
        self.batches = BatchEndpoint(pipeline, self.harness.metrics, limit=LIMIT, max_wait_s=max_wait_s)
        app = application(self.batches, BodyReader(LIMIT, max_wait_s), lambda: True, lambda: pipeline.store_state)
        self.clients = ThreadPoolExecutor(20)
        self.server = RestServer(app, "127.0.0.1", 0, max_connections=100)

    async def post(
        self, *ids: str, packed: bool = False, filling: str = ""
    ) -> tuple[int, dict, http.client.HTTPMessage]:
        sent = json.dumps({"events": [json.loads(body(id, filling=filling)) for id in ids]}).encode()
        headers = {"Content-Type": "application/json", **({"Content-Encoding": "gzip"} if packed else {})}
        sending = partial(self._post, gzip.compress(sent) if packed else sent, headers)
        return await asyncio.get_running_loop().run_in_executor(self.clients, sending)

    def _post(self, sent: bytes, headers: dict[str, str]) -> tuple[int, dict, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        connection.request("POST", "/api/v1/telemetry/batch", sent, headers)
        reply = connection.getresponse()
        answer = reply.status, json.loads(reply.read()), reply.headers
        connection.close()
        return answer

    async def close(self) -> None:
        self.harness.store.gate.set()
        self.harness.store.away = False
        await self.server.close(1)
        await self.harness.pipeline.close()
        self.clients.shutdown()


async def test_a_full_buffer_answers_429_and_what_was_taken_is_stored() -> None:
    rest = RestHarness(max_wait_s=60, max_bytes=6_000)
    rest.harness.store.gate.clear()
    first = asyncio.create_task(rest.post("a"))
    await until(lambda: rest.harness.store.calls == 1)
    status, problem, headers = await rest.post("b")
    assert (status, problem["status"], headers["Retry-After"]) == (429, 429, "1")
    rest.harness.store.gate.set()
    assert (await first)[0] == 200
    assert (await rest.post("b"))[0] == 200
    assert rest.harness.stored("a", "b")
    await rest.close()


async def test_what_would_wait_for_long_is_refused_unread() -> None:
    now = 100.0
    rest = RestHarness(max_wait_s=60, max_bytes=10_000_000, monotonic=lambda: now)
    rest.harness.store.gate.clear()
    waiting = [asyncio.create_task(rest.post("a"))]
    await until(lambda: rest.harness.store.calls == 1)
    waiting.append(asyncio.create_task(rest.post("b")))
    await until(lambda: rest.harness.writes_in_progress == 2)  # as many as there may be
    waiting.append(asyncio.create_task(rest.post("c")))
    received = {"event_type": COMPLETE, "source": "rest"}
    await until(lambda: rest.harness.value("llm_memory_graph_events_received_total", **received) == 3)
    now += 3
    status, _, headers = await rest.post("e")
    assert (status, headers["Retry-After"]) == (429, "1")
    rest.harness.store.gate.set()
    assert [status for status, *_ in await asyncio.gather(*waiting)] == [200] * 3
    assert (await rest.post("e"))[0] == 200
    await rest.close()


async def test_a_store_that_is_away_answers_503_at_once_when_that_is_known() -> None:
    rest = RestHarness(max_wait_s=1, max_bytes=10_000_000)
    rest.harness.store.away = True
    assert (await rest.post("a"))[0] == 503
    await until(lambda: rest.harness.pipeline.store_is_unavailable)
    status, problem, headers = await rest.post("b")
    assert (status, headers["Retry-After"]) == (503, "5")
    assert "send the whole batch again" in problem["detail"]
    rest.harness.store.away = False
    while (await rest.post("b"))[0] != 200:
        pass
    assert rest.harness.stored("b")
    await rest.close()


async def test_small_bodies_of_many_clients_wait_side_by_side() -> None:
    rest = RestHarness(max_wait_s=60, max_bytes=10_000_000, monotonic=lambda: 100.0)
    rest.harness.store.gate.clear()
    waiting = [asyncio.create_task(rest.post(f"e-{number}", packed=True)) for number in range(12)]
    received = "llm_memory_graph_events_received_total"
    await until(lambda: rest.harness.value(received, event_type=COMPLETE, source="rest") == 12)
    rest.harness.store.gate.set()
    assert [status for status, *_ in await asyncio.gather(*waiting)] == [200] * 12
    await rest.close()


async def test_bodies_that_are_large_together_are_not_read_all_at_once() -> None:
    rest = RestHarness(max_wait_s=60, max_bytes=10_000_000, monotonic=lambda: 100.0)
    rest.harness.store.gate.clear()
    large = "x" * (LIMIT - 1_000)
    waiting = [asyncio.create_task(rest.post(f"e-{n}", filling=large, packed=True)) for n in range(3)]
    received = "llm_memory_graph_events_received_total"
    await until(lambda: rest.harness.value(received, event_type=COMPLETE, source="rest") == 3)
    more = [asyncio.create_task(rest.post(f"more-{n}", filling=large, packed=True)) for n in range(2)]
    done, more_waiting = await asyncio.wait(more, return_when=asyncio.FIRST_COMPLETED)
    assert {sent.result()[0] for sent in done} == {429}
    rest.harness.store.gate.set()
    assert [status for status, *_ in await asyncio.gather(*waiting)] == [200] * 3
    await asyncio.gather(*more_waiting)
    await rest.close()


@pytest.mark.parametrize("headers", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_is_not_waited_for(headers: str) -> None:
    rest = RestHarness(max_wait_s=0.2, max_bytes=10_000_000)

    def dawdle() -> bytes:
        with socket.create_connection(("127.0.0.1", rest.server.port), timeout=60) as client:
            client.sendall(f"POST /api/v1/telemetry/batch HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode())
            return client.recv(100)

    assert b" 408 " in await asyncio.to_thread(dawdle)
    assert (await rest.post("a"))[0] == 200
    await rest.close()
