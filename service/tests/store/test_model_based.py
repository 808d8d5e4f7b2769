"""Random operations on the embedded store and on a plain reference, which must agree on every answer."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from memory_graph.model.errors import GraphError
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, LineageDirection, NodeType
from memory_graph.model.nodes import AgentData, PromptData, PromptMetadata
from memory_graph.model.queries import LineageQuery, NodeFilter, PointInTime, Stats, Traversal
from memory_graph.store.sqlite import open_store
from store.chains import chain
from store.graphs import agent, delete, link, prompt, session, unlink, update, write
from store.reference import EdgeVersion, NodeVersion, ReferenceGraph
from store.store_contract import StoreClock

TENANTS = ("one", "two")
tenants = st.sampled_from(TENANTS)
times = st.integers(0, 40)
contents = st.sampled_from(["red", "green", "blue red", "green blue"])
models = st.sampled_from(["small", "large"])
LINK_TYPES = (EdgeType.REFERENCES, EdgeType.TRANSFERS_TO)


class StoreMachine(RuleBasedStateMachine):
    """Each rule writes to both; the invariants read from both."""

    sessions = Bundle("sessions")
    nodes = Bundle("nodes")
    edges = Bundle("edges")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = StoreClock(1_000)
        self.store = self.opened()
        self.graphs = {tenant: ReferenceGraph() for tenant in TENANTS}

    def opened(self):
        return open_store(Path(self.folder.name) / "graph.db", clock=self.clock, readers=1)

    def teardown(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        self.folder.cleanup()

    def do(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def apply(self, tenant, *mutations):
        self.clock.now += 1
        return self.do(self.store.apply(write(*mutations, tenant=tenant)))

    def put(self, tenant, create):
        created = create.node
        version = NodeVersion(created.id, created.created_at, self.clock.now, None, None, created.type, created.data,
                              created.created_at, created.session_id)  # fmt: skip
        graph = self.graphs[tenant]
        graph.add(version)
        for edge in create.edges:
            graph.link(
                EdgeVersion(edge.id, edge.created_at, self.clock.now, None, None, edge.type, edge.from_id, edge.to_id)
            )
        if created.type is NodeType.PROMPT:
            graph.follow(version, create.follows_edge_id, self.clock.now)

    @rule(target=sessions, tenant=tenants, at=times)
    def create_session(self, tenant, at):
        create = session(at=at)
        self.apply(tenant, create)
        self.put(tenant, create)
        return create.node.id

    @rule(target=nodes, tenant=tenants, at=times, word=contents)
    def create_agent(self, tenant, at, word):
        create = agent(word, at=at)
        self.apply(tenant, create)
        self.put(tenant, create)
        return create.node.id

    @rule(
        target=nodes, tenant=tenants, session=sessions, at=times, word=contents, model=models, count=st.integers(1, 3)
    )
    def create_prompts(self, tenant, session, at, word, model, count):
        creates = [prompt(session, word, at=at, model=model) for _ in range(count)]
        if session not in self.graphs[tenant].nodes:
            self.refused(tenant, *creates)
            return multiple()
        self.apply(tenant, *creates)
        for create in creates:
            self.put(tenant, create)
        return multiple(*(create.node.id for create in creates))

    @rule(target=edges, tenant=tenants, first=nodes, second=nodes, at=times, type=st.sampled_from(LINK_TYPES))
    def create_edge(self, tenant, first, second, at, type):
        create = link(type, first, second, at=at)
        graph = self.graphs[tenant]
        if first not in graph.nodes or second not in graph.nodes:
            self.refused(tenant, create)
            return multiple()
        self.apply(tenant, create)
        graph.link(EdgeVersion(create.edge.id, at, self.clock.now, None, None, type, first, second))
        return create.edge.id

    @rule(tenant=tenants, id=nodes, at=times, word=contents, model=models)
    def update_node(self, tenant, id, at, word, model):
        graph = self.graphs[tenant]
        version = graph.nodes.get(id)
        version_anywhere = version or self.graphs[TENANTS[tenant == TENANTS[0]]].nodes.get(id)
        if version_anywhere is None:
            return
        if version_anywhere.type is NodeType.PROMPT:
            data = PromptData(session_id=version_anywhere.session, content=word, metadata=PromptMetadata(model=model))
            created = prompt(version_anywhere.session, id=id).node
        else:
            data, created = AgentData(name=word), agent(id=id).node
        if version is None:
            self.refused(tenant, update(created, data, at=at))
        else:
            self.apply(tenant, update(created, data, at=at))
            graph.update(id, data, at, self.clock.now)

    @rule(tenant=tenants, id=nodes, at=times)
    def delete_node(self, tenant, id, at):
        self.deleted(tenant, id, at)

    @rule(tenant=tenants, id=consumes(sessions), at=times)
    def delete_session(self, tenant, id, at):
        self.deleted(tenant, id, at)

    def deleted(self, tenant, id, at):
        end = delete(id, at=at)
        if id not in self.graphs[tenant].nodes:
            self.refused(tenant, end)
            return
        self.apply(tenant, end)
        self.graphs[tenant].delete(id, at, self.clock.now, end.relink_edge_id)

    @rule(tenant=tenants, id=edges, at=times)
    def delete_edge(self, tenant, id, at):
        if id not in self.graphs[tenant].edges:
            self.refused(tenant, unlink(id, at=at))
            return
        self.apply(tenant, unlink(id, at=at))
        self.graphs[tenant].unlink(id, at, self.clock.now)

    @rule(tenant=tenants, id=nodes, at=times)
    def refused_after_a_deletion(self, tenant, id, at):
        self.refused(tenant, delete(id, at=at), agent(), unlink(new_id()))

    def refused(self, tenant, *mutations):
        with pytest.raises(GraphError):
            self.apply(tenant, *mutations)

    @rule()
    def reopen(self):
        self.do(self.store.close())
        self.store = self.opened()

    @precondition(lambda self: any(graph.ended for graph in self.graphs.values()))
    @rule(tenant=tenants, id=nodes, as_of=times, back=st.integers(0, 30), both=st.booleans())
    def look_back(self, tenant, id, as_of, back, both):
        known_at = self.clock.now - back
        nodes, edges = self.graphs[tenant].then(as_of, known_at)
        at = PointInTime(as_of=as_of, known_at=known_at)
        direction = Direction.BOTH if both else Direction.OUTGOING
        if id not in nodes:
            with pytest.raises(GraphError):
                self.do(self.paths(tenant, Traversal(start=(id,), at=at)))
            return
        expected = sorted(
            (edge.id, other)
            for edge in edges.values()
            for near, other in ((edge.source, edge.target), (edge.target, edge.source))
            if near == id and other != id and (both or near == edge.source)
        )
        paths = self.do(self.paths(tenant, Traversal(start=(id,), at=at, direction=direction, limit=1_000)))
        assert sorted((path.edges[0].id, path.nodes[1].id) for path in paths) == expected
        for path in paths:
            assert [node.data for node in path.nodes] == [nodes[node.id].data for node in path.nodes]
        steps = self.do(
            self.store.lineage(tenant, LineageQuery(node_id=id, direction=LineageDirection.BOTH, depth=1, at=at))
        )
        assert {step.node.id for step in steps} == {id} | {
            end for edge in edges.values() if id in (edge.source, edge.target) for end in (edge.source, edge.target)
        }

    async def paths(self, tenant, condition):
        return [path async for path in self.store.traverse(tenant, condition)]

    @invariant()
    def everything_is_there_and_nothing_else(self):
        for tenant, graph in self.graphs.items():
            ids = [id for other in self.graphs.values() for id in other.nodes]
            stored = self.do(self.store.get_nodes(tenant, ids))
            assert [(item.id, item.data, item.session_id) for item in stored] == [
                (id, graph.nodes[id].data, graph.nodes[id].session) for id in ids if id in graph.nodes
            ]
            sessions = sum(version.type is NodeType.SESSION for version in graph.nodes.values())
            assert self.do(self.store.stats(tenant)) == Stats(
                nodes=len(graph.nodes), edges=len(graph.edges), sessions=sessions, active_sessions=sessions
            )

    @invariant()
    def edges_and_chains_agree(self):
        for tenant, graph in self.graphs.items():
            for id in graph.nodes:
                stored = self.do(self.store.get_edges(tenant, id, Direction.BOTH, None))
                assert sorted((item.id, item.type, item.from_id, item.to_id) for item in stored) == sorted(
                    (edge.id, edge.type, edge.source, edge.target)
                    for edge in graph.edges.values()
                    if id in (edge.source, edge.target)
                )
            for id, expected in graph.chains.items():
                assert self.do(chain(self.store, id, tenant)) == expected[::-1]

    @invariant()
    def queries_agree(self):
        for tenant, graph in self.graphs.items():
            for condition in (
                NodeFilter(),
                NodeFilter(type=NodeType.PROMPT, after=10, before=30),
                NodeFilter(attributes=(("model", "small"),)),
                NodeFilter(text="red"),
                NodeFilter(text="blue", attributes=(("model", "large"),), type=NodeType.PROMPT),
                *(NodeFilter(session_id=id) for other in self.graphs.values() for id in other.chains),
                *(NodeFilter(session_id=id, text="green") for id in graph.chains),
                *(NodeFilter(session_id=id, attributes=(("model", "small"),)) for id in graph.chains),
            ):
                expected = graph.select(condition)
                page = self.do(self.store.query(tenant, condition, 3, 1))
                assert ([item.id for item in page.nodes], page.total_count) == (expected[1:4], len(expected)), condition


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck))
