"""Collects the creations of one write, each once, and every node before an edge to it. Pure: ids come from outside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import msgspec

from memory_graph.model.ids import canonical
from memory_graph.model.kinds import NodeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import ModelData, Node, SessionData, stub

_encode = msgspec.msgpack.Encoder().encode


def node_id(event_id: str) -> str:
    """Return the id of an event's node: the event's own if it is a UUID, else a UUID derived from it."""
    return canonical(event_id) or derived_id("event", event_id)


def derived_id(kind: str, *names: str) -> str:
    """Derive a UUID from names, always the same for the same names (UUIDv8, RFC 9562 §5.8)."""
    raw = bytearray(hashlib.blake2b(_encode((kind, names)), digest_size=16).digest())
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class SessionUpdate(msgspec.Struct):
    """The changes that the events of a write make to a session. created_at: time of its first event; updated_at: time
    of the last event that says more than its name."""

    index: int
    created_at: int
    updated_at: int
    metadata: dict[str, str]
    ended: bool = False


class WritePlanner:
    """A builder of the creations of one write. new_id: makes ids of edges. stored_nodes: the stored nodes that events
    refer to, by id. now: arrival of the events, in nanoseconds."""

    def __init__(self, new_id: Callable[[], str], stored_nodes: Mapping[str, Node], now: int) -> None:
        self.new_id = new_id
        self.stored_nodes = stored_nodes
        self.now = now
        self.waiting: dict[int, int] = {}
        self.session_updates: dict[str, SessionUpdate] = {}
        self._creations: list[CreateNode | None] = []
        self._indexes: dict[str, int] = {}
        self._models: dict[tuple[str, str], str] = {}

    def add(self, creation: CreateNode) -> int:
        """Add a creation and return its index."""
        self._creations.append(creation)
        index = len(self._creations) - 1
        self._indexes[creation.node.id] = index
        return index

    def node(self, id: str) -> Node | None:
        """Return a planned or stored node that is no session, or None."""
        index = self._indexes.get(id)
        creation = None if index is None else self._creations[index]
        return self.stored_nodes.get(id) if creation is None else creation.node

    def index(self, id: str) -> int:
        """Return the index of a node that was added."""
        return self._indexes[id]

    def model(self, provider: str, model_id: str, at: int) -> str:
        """Return the id of a model, and plan it on first sight."""
        key = provider, model_id
        id = self._models.get(key)
        if id is None:
            id = self._models[key] = derived_id("model", *key)
            data = ModelData(model_id=model_id, provider=provider)
            self.once(Node(id=id, type=NodeType.MODEL, data=data, created_at=at, updated_at=at))
        return id

    def session(
        self, name: str, at: int, metadata: Mapping[str, str] | None = None, *, ended: bool = False
    ) -> tuple[str, int]:
        """Return the id and index of a session, and plan it on first sight. metadata: a key keeps its first value."""
        uuid = canonical(name)
        id = uuid or derived_id("session", name)
        update = self.session_updates.get(id)
        if update is None:
            self._creations.append(None)
            update = SessionUpdate(len(self._creations) - 1, at, at, {} if uuid else {"session_id": name})
            self.session_updates[id] = update
        update.created_at = min(update.created_at, at)
        update.ended = update.ended or ended
        if metadata or ended:
            update.updated_at = max(update.updated_at, at)
            update.metadata = {**(metadata or {}), **update.metadata}
        return id, update.index

    def stub(self, event_id: str, at: int) -> str:
        """Return the id of an event's node, and plan a stub in its place until the event comes."""
        return self.once(stub(node_id(event_id), at))

    def once(self, node: Node) -> str:
        """Return the id of a node, and plan it unless it is planned already."""
        if node.id not in self._indexes:
            self.add(CreateNode(node=node, observed=True))
        return node.id

    def creations(self) -> tuple[CreateNode, ...]:
        """Return the creations in order."""
        for id, update in self.session_updates.items():
            data = SessionData(metadata=update.metadata, is_active=not update.ended)
            node = Node(
                id=id,
                type=NodeType.SESSION,
                data=data,
                created_at=update.created_at,
                updated_at=update.created_at,
                session_id=id,
            )
            self._creations[update.index] = CreateNode(node=node, observed=True)
        return tuple(creation for creation in self._creations if creation is not None)
