"""A pipeline over a fake store, for tests of sources and of the pipeline itself."""

from __future__ import annotations

import asyncio
import time

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from ingest.samples import message
from memory_graph.flow.circuit_breaker import BreakerLimits
from memory_graph.ingest.clock_and_ids import ClockAndIds
from memory_graph.ingest.dead_letters import DeadLetterHandlers
from memory_graph.ingest.pipeline import Pipeline, PipelineSettings
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.kinds import EventType
from memory_graph.model.mutations import Applied, Event, Write
from memory_graph.model.queries import Page
from memory_graph.telemetry.ingestion import IngestionMetrics
from store.graphs import TENANT

RECOVERY_S = 0.05


class FakeStore:
    """A store in memory. away: it is unavailable. gate: writes wait for it. poison: errors by node id."""

    def __init__(self) -> None:
        self.nodes: dict[str, object] = {}
        self.writes: list[Write] = []
        self.calls = 0
        self.away = False
        self.poison: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def apply(self, write: Write) -> Applied:
        self.calls += 1
        await self.gate.wait()
        if self.away:
            raise StoreUnavailable("away")
        for mutation in write.mutations:
            if mutation.node.id in self.poison:
                raise self.poison[mutation.node.id]
        self.writes.append(write)
        results, events = [], []
        for mutation in write.mutations:
            id = mutation.node.id
            if id not in self.nodes:
                self.nodes[id] = replace(mutation.node, recorded_at=len(self.writes))
                events.append(
                    Event(id=f"{len(self.writes)}.{len(events)}", type=EventType.NODE_CREATED, at=len(self.writes),
                          subject_id=id, kind="x"))  # fmt: skip
            results.append(self.nodes[id])
        return Applied(results=tuple(results), created=len(events), events=tuple(events))

    async def query(self, *_: object) -> Page:
        if self.away:
            raise StoreUnavailable("away")
        return Page([], 0)


class PipelineHarness:
    """A pipeline over a store that tests block, end and bring back. options: of PipelineSettings, and `monotonic`."""

    def __init__(self, store: FakeStore | None = None, **options: object) -> None:
        self.store = store or FakeStore()
        self.registry = CollectorRegistry()
        self.draining = asyncio.Event()
        self.rejected: list[Rejected] = []
        self.metrics = IngestionMetrics(self.registry)
        defaults = {
            "max_bytes": 10_000_000,
            "max_wait_s": 60.0,
            "breaker": BreakerLimits(failure_rate=0.5, recovery_s=RECOVERY_S, trials=2),
        }
        monotonic = options.pop("monotonic", time.monotonic)
        self.pipeline = Pipeline(
            self.store,
            self.metrics,
            PipelineSettings(**{**defaults, **options}),
            DeadLetterHandlers(self.rejected.extend),
            draining=self.draining,
            ports=ClockAndIds(monotonic=monotonic),
        )

    async def send(self, *names: str, size: int = 100, tenant: str = TENANT, source: str = "") -> asyncio.Future:
        await self.pipeline.reserve(size, source)
        return self.pipeline.submit(tenant, [from_message(message(name)) for name in names], size, source)

    @property
    def writes_in_progress(self) -> int:
        """The number of writes in progress."""
        return len(self.pipeline._writes)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def stored(self, *names: str) -> bool:
        return all(node_id(name) in self.store.nodes for name in names)


async def until(condition) -> None:
    """Wait until a condition holds."""
    while not condition():  # noqa: ASYNC110 - the condition has no event
        await asyncio.sleep(0.001)
