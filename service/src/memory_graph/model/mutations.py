"""The mutations of a graph: every write, whatever its source, is a tuple of these in one `Write`.

A `Write` is atomic: all of its mutations are committed, or none. The store applies them in order.
"""

from __future__ import annotations

import msgspec

from memory_graph.model.kinds import EventType
from memory_graph.model.nodes import Edge, Node


class CreateNode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Stores a node and the edges the server makes for it.

    Creating a node that exists with equal data changes nothing (its edges included) and yields the stored node; with
    other data it is `AlreadyExists`. Equal means: same type and same data, but for usage_count and is_active, which
    change by themselves. An edge to a node that does not exist is `NotFound`.

    edges: from or to this node; `BELONGS_TO` among them.
    parent_id: the node whose session this node belongs to (the prompt of a response, the response of a tool
        invocation); None: the session is `node.session_id`. An unknown parent or session is `NotFound`; a closed
        session is `SessionClosed`.
    follows_edge_id: for prompts: the id for the FOLLOWS edge to the session's last prompt, if the session has one.
    counts_use_of: the template whose usage_count rises by one with this node.
    observed: the node comes from an event, perhaps twice, late, or after events that refer to it. Then a node that
        exists stays as it is, whatever its data (its edges too), and is returned as stored. A stub (`nodes.is_stub`)
        becomes this node, from its created_at on, with its type, session and edges, and is reported as NODE_UPDATED;
        `known_at` before that still sees the stub. A closed session accepts the node.
    """

    node: Node
    edges: tuple[Edge, ...] = ()
    parent_id: str | None = None
    follows_edge_id: str | None = None
    counts_use_of: str | None = None
    observed: bool = False


class UpdateNode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Replaces the data of a node; the version before it stays readable by `as_of` and `known_at`.

    id, type, session_id and created_at stay what they are; a template keeps its usage_count. CloseSession sets
    `is_active` of a session to False, which is reported as SESSION_CLOSED. An unknown id is `NotFound`.

    adds: a session keeps its metadata and gets the keys that it does not have yet, also under concurrent additions;
        is_active False closes it, True does not open it again. An addition without effect is not reported.
    """

    node: Node
    adds: bool = False


class DeleteNode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Ends a node and its edges, and for a session all of its nodes with theirs.

    A prompt in the middle of a session's FOLLOWS chain is taken out of it: its successor follows its predecessor, by an
    edge with the id `relink_edge_id`. An unknown id is `NotFound`.
    """

    node_id: str
    at: int
    relink_edge_id: str


class CreateEdge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Stores an edge between two nodes that exist (else `NotFound`); repeating it follows the rule of CreateNode."""

    edge: Edge


class DeleteEdge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Ends an edge. An unknown id is `NotFound`."""

    edge_id: str
    at: int


Mutation = CreateNode | UpdateNode | DeleteNode | CreateEdge | DeleteEdge


class Write(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One atomic list of mutations of one tenant."""

    tenant: str
    mutations: tuple[Mutation, ...]


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of the change feed. It names what changed and never carries content.

    id: position in commit order, `<commit>.<index>`; a reader resumes after it.
    subject_id: the node or edge. session_id: the session it belongs to, if any. kind: its node or edge type's name.
    at: recorded time.
    """

    id: str
    type: EventType
    at: int
    subject_id: str
    kind: str
    session_id: str | None = None


class Applied(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The result of a committed `Write`: for each mutation the node or edge as it is stored now (None for a deletion).

    created: the number of new nodes and edges among the mutations, without repeated creates and derived edges.
    """

    results: tuple[Node | Edge | None, ...]
    created: int
    events: tuple[Event, ...]
