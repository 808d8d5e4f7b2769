"""The unit of work: what the writes of one transaction have read, and what they will write.

Creations are planned in memory against facts that were fetched together, and written together. A write that is refused
is taken back by cutting the lists of planned rows; the database has not seen it. Little is kept per row: what the
garbage collector has to look at costs more than all the rest.

A store derives its own unit of work, which fetches facts and makes and writes rows. The methods it has to give are at
the end; those that do I/O may return an awaitable (see `steps`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from memory_graph.model.errors import GraphError
from memory_graph.model.kinds import EdgeType, EventType, NodeType
from memory_graph.model.nodes import Edge, Node
from memory_graph.store.events import Change
from memory_graph.store.rules.counters import ACTIVE_SESSIONS, EDGES
from memory_graph.store.rules.references import Key, References

EdgeEndpoint = int | str
"""The name by which a store joins edges to a node: its number or its id."""


class WriteContext(msgspec.Struct, frozen=True, gc=False):
    """The tenant of a write, the time the store learns of it, and a source of ids the store needs."""

    tenant: str
    recorded_at: int
    new_id: Callable[[], str]


class NodeRef(msgspec.Struct, gc=False):
    """A node as the transaction knows it. n: its number in the order of storing. node: the whole of it, where the
    transaction creates it or was asked to."""

    id: str
    n: int
    type: NodeType
    session_id: str | None
    node: Node | None = None


class SessionRef(msgspec.Struct, gc=False):
    """The part of a session that adding a node to it reads and changes. n: the number of its node."""

    tenant: str
    id: str
    n: int
    active: bool
    last_prompt: Any


class CurrentVersion(msgspec.Struct, gc=False):
    """A node that is about to get new data. active: of a session."""

    ref: NodeRef
    node: Node
    valid_from: int
    active: bool


class PlannedCommit(msgspec.Struct, gc=False):
    """The place of a write in the change feed. session_id: of all its events; None: they are of several, or of none."""

    tenant: str
    session_id: str | None
    session: SessionRef | None
    recorded_at: int
    changes: list[Change]


class UnitOfWork(ABC):
    """The state of one transaction, in the terms that rules use."""

    end_of: Callable[[NodeRef], EdgeEndpoint]
    """Returns the name by which edges are joined to a node."""

    def __init__(self) -> None:
        self.nodes: dict[Key, NodeRef] = {}
        self.edges: dict[Key, Edge | None] = {}
        """Edges by key; None for a link of a chain that this transaction made."""
        self.sessions: dict[Key, SessionRef] = {}
        self.changes: list[Change] = []
        self.commits: list[PlannedCommit] = []
        self.counters: dict[tuple[str, str | None, int], int] = {}
        """Changes of counters by tenant, session (None: the whole tenant) and kind."""
        self.created_nodes: list[Key] = []
        self.created_edges: list[Key] = []
        self.opened: list[SessionRef] = []
        self.chained: list[tuple[SessionRef, EdgeEndpoint | None]] = []
        self.stubs: list[tuple[Key, NodeRef]] = []
        self.used: list[Key] = []
        self.planned: list[list[Any]] = [
            self.created_nodes, self.created_edges, self.opened, self.chained, self.stubs, self.used]  # fmt: skip
        """Everything that `undo` cuts; a store adds its lists of rows."""

    def begin(self) -> tuple[int, ...]:
        """Start a write; `undo` goes back to here."""
        self.changes = []
        return tuple([len(rows) for rows in self.planned])

    def undo(self, begun: tuple[int, ...]) -> None:
        """Take back what was planned since `begin`."""
        self.changes = []
        nodes, edges, opened, chained, stubs, *_ = begun
        for key, stub in reversed(self.stubs[stubs:]):
            self.nodes[key] = stub
        for key in self.created_nodes[nodes:]:
            del self.nodes[key]
        for key in self.created_edges[edges:]:
            del self.edges[key]
        for session, last in reversed(self.chained[chained:]):
            session.last_prompt = last
        for session in self.opened[opened:]:
            del self.sessions[session.tenant, session.id]
        for rows, length in zip(self.planned, begun, strict=True):
            del rows[length:]

    def discard(self) -> None:
        """Drop what is planned and not yet written."""
        for rows in self.planned:
            rows.clear()
        self.counters.clear()

    def forget(self) -> None:
        """Drop what was read: it has changed in the database. Nothing may be planned and unwritten."""
        self.nodes.clear()
        self.edges.clear()
        self.sessions.clear()

    def append_to_chain(self, session: SessionRef, prompt: EdgeEndpoint | None) -> Any:  # noqa: ANN401 - of the store
        """Make a prompt the last of its session; return the one before."""
        last = session.last_prompt
        session.last_prompt = prompt
        self.chained.append((session, last))
        return last

    def increment_usage(self, template: Key) -> None:
        """Raise a template's usage_count by one."""
        self.used.append(template)

    def count(self, tenant: str, session_id: str | None, kind: int, change: int) -> None:
        """Change a counter of a tenant, and that of a session if one is named. Planned rows are not counted by this,
        but when they are written."""
        key = (tenant, None, kind)
        self.counters[key] = self.counters.get(key, 0) + change
        if session_id is not None:
            of_session = (tenant, session_id, kind)
            self.counters[of_session] = self.counters.get(of_session, 0) + change

    def count_planned(self) -> None:
        """Count what is about to be written."""
        nodes = self.nodes
        stubs = dict(self.stubs)  # one that was created in this unit is counted as the stub that it was
        refs = [(key[0], stubs.get(key, nodes[key])) for key in self.created_nodes]
        created = Counter([(tenant, ref.session_id, ref.type) for tenant, ref in refs])
        for (tenant, session_id, type), change in created.items():
            self.count(tenant, session_id, type, change)
        for (tenant, id), stub in self.stubs:
            node = nodes[tenant, id]
            self.count(tenant, None, stub.type, -1)
            self.count(tenant, node.session_id, node.type, 1)
        for tenant, change in Counter([tenant for tenant, _ in self.created_edges]).items():
            self.count(tenant, None, EDGES, change)
        for session in self.opened:
            self.count(session.tenant, None, ACTIVE_SESSIONS, int(session.active))

    def record(self, event: EventType, kind: NodeType | EdgeType, id: str, session_id: str | None) -> None:
        """Add an event to the write's place in the change feed."""
        self.changes.append((event, kind, id, session_id))

    # What a store gives to create.

    def open_tenant(self, tenant: str) -> None:  # noqa: B027 - most stores need not
        """Prepare for a write of a tenant."""

    @abstractmethod
    def next_n(self) -> int:
        """Return the number of a new node."""

    @abstractmethod
    def add_node(self, context: WriteContext, ref: NodeRef, session: SessionRef | None, *, stub: bool) -> None:
        """Plan the rows of a new node, or of one that takes the place of a stub."""

    @abstractmethod
    def add_edge(self, context: WriteContext, edge: Edge, source: NodeRef, target: NodeRef) -> None:
        """Plan the row of an edge."""

    @abstractmethod
    def add_link(
        self, context: WriteContext, edge_id: str, prompt: EdgeEndpoint, previous: EdgeEndpoint, at: int
    ) -> None:
        """Plan the row of a FOLLOWS edge of a session's chain."""

    @abstractmethod
    def fetch(self, references: References) -> Any:  # noqa: ANN401 - None, or an awaitable of it
        """Read the nodes, sessions and edges that creations need to know, and keep others from changing them."""

    @abstractmethod
    def flush(self) -> Any:  # noqa: ANN401
        """Write what is planned into the transaction."""

    # What a store gives to replace and delete. `ref` is what `find_node` returned.

    @abstractmethod
    def savepoint(self) -> Any:  # noqa: ANN401
        """Start a write whose mutations are written one by one."""

    @abstractmethod
    def release_savepoint(self) -> Any:  # noqa: ANN401
        """End such a write."""

    @abstractmethod
    def roll_back(self, refusal: GraphError) -> Any:  # noqa: ANN401
        """Take back what is written since `savepoint`; a store that cannot, raises."""

    @abstractmethod
    def current_version(self, tenant: str, id: str) -> Any:  # noqa: ANN401
        """Return the `CurrentVersion` of a node; None for an unknown one."""

    @abstractmethod
    def replace_version(self, context: WriteContext, current: CurrentVersion, after: Node, *, switched: bool) -> Any:  # noqa: ANN401
        """Move a version to history and put the node `after` in its place. switched: the session opens or closes."""

    @abstractmethod
    def find_node(self, tenant: str, id: str) -> Any:  # noqa: ANN401
        """Return the `NodeRef` of a node with its session in `sessions`, both locked; None for an unknown one."""

    @abstractmethod
    def find_edge(self, tenant: str, id: str) -> Any:  # noqa: ANN401
        """Return the type of an edge and the session of its source, or else of its target; None for an unknown one."""

    @abstractmethod
    def chain_neighbours(self, tenant: str, ref: NodeRef) -> Any:  # noqa: ANN401
        """Return the ends of the prompts before and after a prompt in its chain, each None where there is none."""

    @abstractmethod
    def newest_prompt(self, session: SessionRef) -> Any:  # noqa: ANN401
        """Return the end of the newest prompt of a session; None for none."""

    @abstractmethod
    def session_counters(self, tenant: str, ref: NodeRef) -> Any:  # noqa: ANN401
        """Return the counters of a session."""

    @abstractmethod
    def session_nodes(self, tenant: str, ref: NodeRef) -> Any:  # noqa: ANN401
        """Return id and type of a session's nodes but itself, oldest first."""

    @abstractmethod
    def delete_edge(self, context: WriteContext, id: str, at: int) -> Any:  # noqa: ANN401
        """Move an edge to history."""

    @abstractmethod
    def delete_edges(self, context: WriteContext, ref: NodeRef, at: int) -> Any:  # noqa: ANN401
        """Move the edges of a node, or of all nodes of a session, to history. Return ids and types of up to about
        MAX_EVENTS of them, and how many there were."""

    @abstractmethod
    def delete_nodes(self, context: WriteContext, ref: NodeRef, at: int, count: int) -> Any:  # noqa: ANN401
        """Move a node, or all nodes of a session, to history."""

    @abstractmethod
    def drop_history(self, tenant: str) -> Any:  # noqa: ANN401
        """Delete all versions of a tenant that are no longer true, and what is kept for their sake."""


Row = Sequence[Any]
"""A row as the driver of a database gives it."""
