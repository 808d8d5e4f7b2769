"""The creations of one write, made once each: every node before an edge to it. Pure: ids for edges are given."""

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
    """The id of an event's node: the event's own where that is a UUID, else one made of it alone."""
    return canonical(event_id) or derived_id("event", event_id)


def derived_id(kind: str, *names: str) -> str:
    """The same UUID for the same names, always and everywhere (UUIDv8, RFC 9562 §5.8)."""
    raw = bytearray(hashlib.blake2b(_encode((kind, names)), digest_size=16).digest())
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class SessionTold(msgspec.Struct):
    """What the events of a write say of a session. at: when the first of them happened; told_at: when the last of
    those did that say more than its name."""

    place: int
    at: int
    told_at: int
    metadata: dict[str, str]
    ended: bool = False


class Planner:
    """new_id: of edges. known: nodes that are stored, by id, as far as events need to know them. now: when the events
    arrived, in nanoseconds."""

    def __init__(self, new_id: Callable[[], str], known: Mapping[str, Node], now: int) -> None:
        self.new_id = new_id
        self.known = known
        self.now = now
        self.waiting: dict[int, int] = {}
        self.sessions: dict[str, SessionTold] = {}
        self._creations: list[CreateNode | None] = []
        self._places: dict[str, int] = {}
        self._models: dict[tuple[str, str], str] = {}

    def add(self, creation: CreateNode) -> int:
        """Adds a creation; yields its place."""
        self._creations.append(creation)
        place = len(self._creations) - 1
        self._places[creation.node.id] = place
        return place

    def node(self, id: str) -> Node | None:
        """A node that this write makes, or that is known; not a session."""
        place = self._places.get(id)
        creation = None if place is None else self._creations[place]
        return self.known.get(id) if creation is None else creation.node

    def place(self, id: str) -> int:
        """Where a node is made that was added."""
        return self._places[id]

    def model(self, provider: str, model_id: str, at: int) -> str:
        """The id of a model, which is made on first sight."""
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
        """The id and the place of a session, which is made on first sight. metadata: what is told of it; where two
        tell different things, the first stands."""
        known = canonical(name)
        id = known or derived_id("session", name)
        told = self.sessions.get(id)
        if told is None:
            self._creations.append(None)
            told = SessionTold(len(self._creations) - 1, at, at, {} if known else {"session_id": name})
            self.sessions[id] = told
        told.at = min(told.at, at)
        told.ended = told.ended or ended
        if metadata or ended:
            told.told_at = max(told.told_at, at)
            told.metadata = {**(metadata or {}), **told.metadata}
        return id, told.place

    def stub(self, event_id: str, at: int) -> str:
        """The id of an event's node, which stands for it until the event is told of."""
        return self.once(stub(node_id(event_id), at))

    def once(self, node: Node) -> str:
        """The id of a node, which this write makes unless it does already."""
        if node.id not in self._places:
            self.add(CreateNode(node=node, observed=True))
        return node.id

    def creations(self) -> tuple[CreateNode, ...]:
        """What was added, in order."""
        for id, told in self.sessions.items():
            data = SessionData(metadata=told.metadata, is_active=not told.ended)
            node = Node(id=id, type=NodeType.SESSION, data=data, created_at=told.at, updated_at=told.at, session_id=id)
            self._creations[told.place] = CreateNode(node=node, observed=True)
        return tuple(creation for creation in self._creations if creation is not None)
