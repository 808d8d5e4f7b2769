"""Plugins and what comes as events."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ingest.samples import message
from ingest.talks import Ingestion, prompt, response
from memory_graph.ingest.conversations.mapping import waiting_id
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.write_planner import derived_id, node_id
from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.nodes import PromptData
from memory_graph.plugins import HookContext, Plugin, PluginHost, Veto
from memory_graph.store.sqlite import open_store
from memory_graph.telemetry.metrics import Metrics
from store.graphs import TENANT


class Guard(Plugin):
    """Writes prompts in capitals, refuses those of the devil, and keeps what it was told of."""

    name = "guard"

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def before_create_node(self, context: HookContext, node):
        assert (context.tenant, context.method) == (TENANT, "ingest")
        if not isinstance(node.data, PromptData):
            return None
        if "devil" in node.data.content:
            raise Veto("not that one")
        custom = {**node.data.metadata.custom, "references": node_id("p-0")} if node.id != node_id("p-0") else {}
        metadata = replace(node.data.metadata, custom=custom)
        return replace(node, data=replace(node.data, content=node.data.content.upper(), metadata=metadata))

    async def after_create_node(self, _: HookContext, node) -> None:
        self.seen.append((node.type.name, node.id))


@pytest.fixture
async def guarded(tmp_path):
    store = open_store(tmp_path / "graph.db")
    guard = Guard()
    host = PluginHost([guard], 5.0, Metrics("0"))
    ingestion = Ingestion(store, plugins=host)
    yield store, ingestion, guard
    await ingestion.pipeline.close()
    await host.close(5.0)
    await store.close()


async def test_a_plugin_changes_refuses_and_is_told(guarded):
    store, ingestion, _ = guarded
    events = [prompt("p-0"), prompt("p-1"), prompt("p-2", prompt={"text": "the devil"}), from_message(message("e-1"))]
    outcomes = await ingestion.send(*events)
    assert [outcome and outcome.reason for outcome in outcomes] == [None, None, "refused", None]
    (node,) = await store.get_nodes(TENANT, [node_id("p-1")])
    assert node.data.content == "FIND ME A TRAIN"
    edges = {edge.type: edge.to_id for edge in await store.get_edges(TENANT, node.id, Direction.OUTGOING, None)}
    assert edges[EdgeType.REFERENCES] == node_id("p-0")
    assert edges[EdgeType.USES_MODEL] == derived_id("model", "acme", "large")


async def test_a_response_that_waited_is_seen_when_it_is_joined(guarded):
    store, ingestion, guard = guarded
    await ingestion.send(response("r-1", "p-0"))
    assert len(await store.get_nodes(TENANT, [waiting_id("r-1")])) == 1
    await ingestion.send(prompt("p-0"))
    while len(guard.seen) < 6:
        await ingestion.send(prompt("p-0"))
    assert sorted(name for name, _ in guard.seen) == ["PROMPT", "RESPONSE", *["TOOL_INVOCATION"] * 4]
