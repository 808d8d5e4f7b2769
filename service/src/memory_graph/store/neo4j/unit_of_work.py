"""Creations as rows for statements. Creations are read in two statements and written in one per type.

Edges that come with a node, and links of a chain, have ids the service made. The uniqueness constraint proves that
these are new, unless the unit of work is `careful`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from neo4j import AsyncManagedTransaction

from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.nodes import Edge, is_stub
from memory_graph.store.neo4j import statements
from memory_graph.store.neo4j.connection import ask_at_once, do
from memory_graph.store.neo4j.history import ConcurrentModification, Neo4jHistory
from memory_graph.store.neo4j.labels import NODE_TYPES
from memory_graph.store.neo4j.rows import Neo4jRows, Properties
from memory_graph.store.rules.counters import COUNTERS
from memory_graph.store.rules.references import Key, References
from memory_graph.store.rules.sequence import HybridLogicalClock
from memory_graph.store.rules.unit_of_work import NodeRef, SessionRef, WriteContext


class Neo4jUnitOfWork(Neo4jHistory):
    """The unit of work of one transaction. careful: whether ids of the service's own are looked up too."""

    def __init__(
        self, tx: AsyncManagedTransaction, rows: Neo4jRows, clock: HybridLogicalClock, *, careful: bool
    ) -> None:
        super().__init__(tx, rows)
        self.clock = clock
        self.tenant_counters: dict[str, list[int]] = {}
        """Changes of the tenants' counters, which are written with the commits."""
        self._careful = careful
        self._elements: dict[Key, str] = {}
        self._node_rows: list[tuple[NodeType, Properties]] = []
        self._stub_rows: list[tuple[NodeType, Properties]] = []
        self._edge_rows: list[tuple[str, EdgeType, Properties]] = []
        self._session_rows: dict[Key, Properties] = {}
        self.planned += [self._node_rows, self._stub_rows, self._edge_rows]

    def forget(self) -> None:
        super().forget()
        self._elements.clear()

    def next_n(self) -> int:
        return self.clock.next_n()

    def add_node(self, context: WriteContext, ref: NodeRef, session: SessionRef | None, *, stub: bool) -> None:
        assert ref.node is not None
        properties = self.rows.new_node(context.tenant, ref.node, ref.n)
        (self._stub_rows if stub else self._node_rows).append((ref.type, properties))
        if session is not None and session.id == ref.id:
            self._session_rows[context.tenant, ref.id] = properties

    def add_edge(self, context: WriteContext, edge: Edge, source: NodeRef, target: NodeRef) -> None:  # noqa: ARG002
        properties = self.rows.new_edge(context.tenant, edge, self.clock.next_n())
        row = {"a": edge.from_id, "b": edge.to_id, "p": properties}
        self._edge_rows.append((context.tenant, edge.type, row))

    def add_link(self, context: WriteContext, edge_id: str, prompt: Any, previous: Any, at: int) -> None:  # noqa: ANN401
        properties = {
            "tenant": context.tenant,
            "id": edge_id,
            "n": self.clock.next_n(),
            "created_ns": at,
            "recorded_at": context.recorded_at,
            "chain": True,
        }
        self._edge_rows.append((context.tenant, EdgeType.FOLLOWS, {"a": prompt, "b": previous, "p": properties}))

    async def fetch(self, references: References) -> None:
        """Read nodes and edges, and lock the sessions and templates that change, and the stubs that are replaced."""
        await self._fetch_nodes(references.created, references.named)
        edges = {**references.edges, **references.attached} if self._careful else references.edges
        if edges:
            for tenant, *row in await ask_at_once(self.tx, statements.EDGES_BY_KEY, keys=[list(key) for key in edges]):
                edge = self.rows.edge(tenant, row)
                self.edges[tenant, edge.id] = edge
        stubs = {key for key in references.created if (ref := self.nodes.get(key)) and ref.node and is_stub(ref.node)}
        await self.lock(stubs | set(self._changed(references.containers)))
        if stubs:
            await self._fetch_nodes(stubs, ())  # another process may have replaced one before it was locked here

    async def _fetch_nodes(self, whole: Iterable[Key], named: Iterable[Key]) -> None:
        keys = [[*key, True] for key in whole] + [[*key, False] for key in named]
        if not keys:
            return
        for tenant, *row, element in await ask_at_once(self.tx, statements.NODES_BY_KEY, keys=keys):
            id, n, type, session_id, *_, stored = row
            node = None if stored is None else self.rows.node(tenant, row)
            self.nodes[tenant, id] = NodeRef(id, n, NODE_TYPES[type], session_id, node)
            self._elements[tenant, id] = element

    def _changed(self, containers: Iterable[Key]) -> Iterable[Key]:
        for tenant, id in containers:
            ref = self.nodes.get((tenant, id))
            if ref is not None and ref.type is NodeType.TEMPLATE:
                yield tenant, id
            if ref is not None and ref.session_id is not None:
                yield tenant, ref.session_id

    async def lock(self, keys: set[Key]) -> None:
        """Keep others from changing nodes until the commit; what is read of sessions after that is true until then.
        Everyone locks in the same order."""
        if not keys:
            return
        locked = await ask_at_once(self.tx, statements.LOCK, keys=[list(key) for key in sorted(keys)])
        if len(locked) != len(keys):
            raise ConcurrentModification
        for tenant, id, type, n, active, last_prompt in locked:
            if type == NodeType.SESSION and (tenant, id) not in self.sessions:
                self.sessions[tenant, id] = SessionRef(tenant, id, n, active, last_prompt)

    async def flush(self) -> None:
        """Write what is planned into the transaction. Raises `ConcurrentModification` where an end of an edge has gone
        since."""
        self.count_planned()
        session_counters = self._take_counters()
        changed = {(session.tenant, session.id): session for session, _ in self.chained}
        changed |= {key: self.sessions[key] for key in session_counters}
        for session in self.opened:
            key = (session.tenant, session.id)
            changed.pop(key, None)
            row = self._session_rows.pop(key)
            row["last_prompt"] = session.last_prompt
            row["counts"] = session_counters.get(key, [0] * COUNTERS)
        for type, rows in _by_type(self._node_rows).items():
            for tenant, id, element in await ask_at_once(self.tx, statements.CREATE_NODES[type], rows=rows):
                self._elements[tenant, id] = element
        for type, rows in _by_type(self._stub_rows).items():
            await do(self.tx, statements.MATERIALIZE_STUB[type], rows=rows)
        await self._flush_edges()
        if changed:
            sessions = [
                [*key, session.last_prompt, session_counters.get(key, [0] * COUNTERS)]
                for key, session in changed.items()
            ]
            await do(self.tx, statements.CHANGE_SESSIONS, rows=sessions)
        if self.used:
            uses = [[*key, count] for key, count in Counter(self.used).items()]
            await do(self.tx, statements.INCREMENT_USAGE, rows=uses)
        self.discard()

    def _take_counters(self) -> dict[Key, list[int]]:
        """Add the changes of tenants' counters to those of the transaction; return those of sessions."""
        sessions: dict[Key, list[int]] = {}
        for (tenant, session_id, kind), change in self.counters.items():
            if session_id is None:
                counters = self.tenant_counters.setdefault(tenant, [0] * COUNTERS)
            else:
                counters = sessions.setdefault((tenant, session_id), [0] * COUNTERS)
            counters[kind] += change
        return sessions

    async def _flush_edges(self) -> None:
        groups: defaultdict[tuple[bool, EdgeType], list[Properties]] = defaultdict(list)
        for tenant, type, row in self._edge_rows:
            at_a, at_b = self._elements.get((tenant, row["a"])), self._elements.get((tenant, row["b"]))
            located = at_a is not None and at_b is not None
            if located:
                row["at_a"], row["at_b"] = at_a, at_b
            groups[located, type].append(row)
        for (located, type), rows in groups.items():
            statement = statements.CREATE_EDGES_BETWEEN if located else statements.CREATE_EDGES
            counters = await do(self.tx, statement[type], rows=rows)
            if counters.relationships_created != len(rows):
                raise ConcurrentModification


def _by_type(planned: Iterable[tuple[NodeType, Properties]]) -> dict[NodeType, list[Properties]]:
    groups: defaultdict[NodeType, list[Properties]] = defaultdict(list)
    for type, properties in planned:
        groups[type].append(properties)
    return groups
