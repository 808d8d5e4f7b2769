"""The unit of work: what the writes of one transaction have read and will write.

Creations are planned in memory against what was fetched together, and go in together. A write that is refused is taken
back by cutting the lists of what is planned; the database has not seen it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from neo4j import AsyncManagedTransaction

from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.nodes import Edge, Node
from memory_graph.store.events import Change
from memory_graph.store.neo4j import statements
from memory_graph.store.neo4j.connection import ask_at_once, do
from memory_graph.store.neo4j.labels import ACTIVE_SESSIONS, COUNTS, EDGES, NODE_TYPES
from memory_graph.store.neo4j.rows import Neo4jRows, Properties
from memory_graph.store.neo4j.sequence import HybridLogicalClock

Key = tuple[str, str]
"""Tenant and id."""


class ConcurrentModification(Exception):
    """Another process has changed what this transaction had read; it has to be done again from the start."""


class NodeRef(msgspec.Struct, gc=False):
    """A node as the transaction knows it. node: the whole of it, where that is known."""

    id: str
    n: int
    type: NodeType
    session_id: str | None
    node: Node | None = None


class SessionRef(msgspec.Struct, gc=False):
    """A session that is locked: what adding a node to it reads and changes. made: its properties, until they are
    written."""

    tenant: str
    id: str
    active: bool
    last_prompt: str | None
    made: Properties | None = None


class PlannedNode(msgspec.Struct, gc=False):
    tenant: str
    node: Node
    properties: Properties


class PlannedEdge(msgspec.Struct, gc=False):
    tenant: str
    id: str
    type: EdgeType
    row: Properties


class PlannedCommit(msgspec.Struct, gc=False):
    """The place of a write in the feed. session_id: of all its events; None: they are of several, or of none."""

    tenant: str
    session_id: str | None
    recorded_at: int
    changes: list[Change]


class Neo4jUnitOfWork:
    """The state of one transaction."""

    def __init__(self, tx: AsyncManagedTransaction, rows: Neo4jRows, sequence: HybridLogicalClock) -> None:
        self.tx = tx
        self.rows = rows
        self.sequence = sequence
        self.sessions: dict[Key, SessionRef] = {}
        self._nodes: dict[Key, NodeRef] = {}
        self._elements: dict[Key, str] = {}
        self._edges: dict[Key, Edge | None] = {}
        self.changes: list[Change] = []
        self.commits: list[PlannedCommit] = []
        self.counts: dict[str, list[int]] = {}
        self._session_counts: dict[Key, list[int]] = {}
        self._new_nodes: list[PlannedNode] = []
        self._new_edges: list[PlannedEdge] = []
        self._opened: list[SessionRef] = []
        self._followed: list[tuple[SessionRef, str | None]] = []
        self._used: list[Key] = []
        self._filled: list[tuple[PlannedNode, NodeRef]] = []
        self._planned: tuple[list[Any], ...] = (
            self._new_nodes, self._new_edges, self._opened, self._followed, self._filled, self._used)  # fmt: skip

    async def fetch(self, created: Iterable[Key], named: Iterable[Key], edges: Iterable[Key]) -> None:
        """Reads the nodes that creations make (whole, if they are there) or name, and the edges they make."""
        whole = dict.fromkeys(created)
        keys = [[*key, True] for key in whole] + [[*key, False] for key in dict.fromkeys(named) if key not in whole]
        if keys:
            for tenant, *row, element in await ask_at_once(self.tx, statements.NODES_BY_KEY, keys=keys):
                id, n, type, session_id, *_, stored = row
                node = None if stored is None else self.rows.node(tenant, row)
                self._nodes[tenant, id] = NodeRef(id, n, NODE_TYPES[type], session_id, node)
                self._elements[tenant, id] = element
        edge_keys = [list(key) for key in dict.fromkeys(edges)]
        if edge_keys:
            for tenant, *row in await ask_at_once(self.tx, statements.EDGES_BY_KEY, keys=edge_keys):
                edge = self.rows.edge(tenant, row)
                self._edges[tenant, edge.id] = edge

    async def lock(self, keys: Iterable[Key]) -> None:
        """Keeps others from changing nodes until the commit; what is read of sessions after that is true until then.
        Everyone locks in the same order."""
        wanted = sorted(set(keys))
        if not wanted:
            return
        locked = await ask_at_once(self.tx, statements.LOCK, keys=[list(key) for key in wanted])
        if len(locked) != len(wanted):
            raise ConcurrentModification
        for tenant, id, type, active, last_prompt in locked:
            if type == NodeType.SESSION and (tenant, id) not in self.sessions:
                self.sessions[tenant, id] = SessionRef(tenant, id, active, last_prompt)

    def node(self, key: Key) -> NodeRef | None:
        """A node that was fetched, or made in this transaction."""
        return self._nodes.get(key)

    def knows_edge(self, key: Key) -> bool:
        """Whether an edge was fetched, or made in this transaction."""
        return key in self._edges

    def edge(self, key: Key) -> Edge | None:
        """That edge; None for a link of a chain that this transaction made."""
        return self._edges.get(key)

    def add_node(self, tenant: str, node: Node) -> Properties:
        n = self.sequence.next_n()
        made = self.rows.new_node(tenant, node, n)
        self._nodes[tenant, node.id] = NodeRef(node.id, n, node.type, node.session_id, node)
        self._new_nodes.append(PlannedNode(tenant, node, made))
        return made

    def materialize_stub(self, tenant: str, node: Node, stub: NodeRef) -> Properties:
        """Puts a node in the place of a stub."""
        made = self.rows.new_node(tenant, node, stub.n)
        self._nodes[tenant, node.id] = NodeRef(node.id, stub.n, node.type, node.session_id, node)
        self._filled.append((PlannedNode(tenant, node, made), stub))
        return made

    def add_edge(self, tenant: str, edge: Edge, *, chain: bool = False) -> None:
        made = self.rows.new_edge(tenant, edge, self.sequence.next_n())
        if chain:
            made["chain"] = True
        self._edges[tenant, edge.id] = None if chain else edge
        row = {"a": edge.from_id, "b": edge.to_id, "p": made}
        self._new_edges.append(PlannedEdge(tenant, edge.id, edge.type, row))

    def open(self, session: SessionRef) -> None:
        self.sessions[session.tenant, session.id] = session
        self._opened.append(session)

    def append_to_chain(self, session: SessionRef, prompt_id: str) -> str | None:
        """Makes a prompt the last of its session; yields the one it follows."""
        last = session.last_prompt
        session.last_prompt = prompt_id
        self._followed.append((session, last))
        return last

    def increment_usage(self, key: Key) -> None:
        """Raises a template's usage_count by one."""
        self._used.append(key)

    def count(self, tenant: str, kind: int, change: int) -> None:
        """Changes a count of a tenant by what is not planned: that is counted when it is written."""
        self.counts.setdefault(tenant, [0] * COUNTS)[kind] += change

    def count_in_session(self, tenant: str, session_id: str, kind: int, change: int) -> None:
        """Changes a count of a session that is locked."""
        self._session_counts.setdefault((tenant, session_id), [0] * COUNTS)[kind] += change

    def begin(self) -> tuple[int, ...]:
        """Starts a write; `undo` goes back to here."""
        self.changes = []
        return tuple(len(planned) for planned in self._planned)

    def undo(self, begun: tuple[int, ...]) -> None:
        """Takes back what was planned since `begin`."""
        self.changes = []
        nodes, edges, opened, followed, filled, _ = begun
        for made, stub in reversed(self._filled[filled:]):
            self._nodes[made.tenant, made.node.id] = stub
        for made in self._new_nodes[nodes:]:
            del self._nodes[made.tenant, made.node.id]
        for made_edge in self._new_edges[edges:]:
            del self._edges[made_edge.tenant, made_edge.id]
        for session, last in reversed(self._followed[followed:]):
            session.last_prompt = last
        for session in self._opened[opened:]:
            del self.sessions[session.tenant, session.id]
        for planned, length in zip(self._planned, begun, strict=True):
            del planned[length:]

    async def flush(self) -> None:
        """Writes what is planned into the transaction. Raises `ConcurrentModification` where an end of an edge
        has gone since."""
        self._count_planned()
        touched = {(s.tenant, s.id): s for s, _ in self._followed}
        for session in self._opened:
            assert session.made is not None
            session.made["last_prompt"] = touched.pop((session.tenant, session.id), session).last_prompt
            session.made["counts"] = self._session_counts.pop((session.tenant, session.id), [0] * COUNTS)
            session.made = None
        for type, rows in _by_type(self._new_nodes).items():
            for tenant, id, element in await ask_at_once(self.tx, statements.CREATE_NODES[type], rows=rows):
                self._elements[tenant, id] = element
        for type, rows in _by_type([made for made, _ in self._filled]).items():
            await do(self.tx, statements.MATERIALIZE_STUB[type], rows=rows)
        await self._flush_edges()
        await self._flush_sessions(touched)
        if self._used:
            uses = [[*key, count] for key, count in Counter(self._used).items()]
            await do(self.tx, statements.INCREMENT_USAGE, rows=uses)
        self.discard()

    async def _flush_edges(self) -> None:
        by_place: dict[tuple[bool, EdgeType], list[Properties]] = {}
        for made in self._new_edges:
            row = made.row
            at_a = self._elements.get((made.tenant, row["a"]))
            at_b = self._elements.get((made.tenant, row["b"]))
            known = at_a is not None and at_b is not None
            if known:
                row["at_a"], row["at_b"] = at_a, at_b
            by_place.setdefault((known, made.type), []).append(row)
        for (known, type), rows in by_place.items():
            statement = statements.CREATE_EDGES_BETWEEN if known else statements.CREATE_EDGES
            counters = await do(self.tx, statement[type], rows=rows)
            if counters.relationships_created != len(rows):
                raise ConcurrentModification

    async def _flush_sessions(self, touched: dict[Key, SessionRef]) -> None:
        rows: list[Sequence[Any]] = [
            (*key, session.last_prompt, self._session_counts.pop(key, [0] * COUNTS)) for key, session in touched.items()
        ]
        for key, counts in self._session_counts.items():
            rows.append((*key, self.sessions[key].last_prompt, counts))
        self._session_counts.clear()
        if rows:
            await do(self.tx, statements.CHANGE_SESSIONS, rows=[list(row) for row in rows])

    def _count_planned(self) -> None:
        for made in self._new_nodes:
            self.count(made.tenant, made.node.type, 1)
            if made.node.session_id is not None:
                self.count_in_session(made.tenant, made.node.session_id, made.node.type, 1)
        for made, stub in self._filled:
            self.count(made.tenant, stub.type, -1)
            self.count(made.tenant, made.node.type, 1)
            if made.node.session_id is not None:
                self.count_in_session(made.tenant, made.node.session_id, made.node.type, 1)
        for made_edge in self._new_edges:
            self.count(made_edge.tenant, EDGES, 1)
        for session in self._opened:
            self.count(session.tenant, ACTIVE_SESSIONS, int(session.active))

    def discard(self) -> None:
        """Drops what is planned and not yet written."""
        for planned in self._planned:
            planned.clear()
        self._session_counts.clear()

    def forget(self) -> None:
        """Drops what was read: it has changed beneath. Nothing may be planned and unwritten."""
        self._nodes.clear()
        self._elements.clear()
        self._edges.clear()
        self.sessions.clear()


def _by_type(planned: Iterable[PlannedNode]) -> dict[NodeType, list[Properties]]:
    found: dict[NodeType, list[Properties]] = {}
    for made in planned:
        found.setdefault(made.node.type, []).append(made.properties)
    return found
