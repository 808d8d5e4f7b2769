"""A graph in plain dictionaries, written to be read: what the embedded store is compared with.

It keeps every version of every node and edge with the four times of the bitemporal rule, and answers by going through
all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from memory_graph.model.attributes import attributes, text
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.nodes import NodeData
from memory_graph.model.queries import NodeFilter


@dataclass
class Version:
    """One version of a node or an edge; valid_to and closed_at are None until it has ended."""

    id: str
    valid_from: int
    recorded_at: int
    valid_to: int | None = None
    closed_at: int | None = None

    def end(self, at: int, recorded_at: int) -> None:
        self.valid_to, self.closed_at = max(at, self.valid_from), recorded_at

    def visible(self, as_of: int, known_at: int) -> bool:
        if self.recorded_at > known_at or self.valid_from > as_of:
            return False
        return self.closed_at is None or self.closed_at > known_at or as_of < self.valid_to


@dataclass
class NodeVersion(Version):
    type: NodeType = NodeType.AGENT
    data: NodeData | None = None
    created_at: int = 0
    session: str | None = None
    stored: int = 0


@dataclass
class EdgeVersion(Version):
    type: EdgeType = EdgeType.REFERENCES
    source: str = ""
    target: str = ""


@dataclass
class ReferenceGraph:
    """The graph of one tenant."""

    nodes: dict[str, NodeVersion] = field(default_factory=dict)
    edges: dict[str, EdgeVersion] = field(default_factory=dict)
    ended: list[Version] = field(default_factory=list)
    chains: dict[str, list[str]] = field(default_factory=dict)
    stored: int = 0

    def add(self, version: NodeVersion) -> None:
        self.stored += 1
        version.stored = self.stored
        self.nodes[version.id] = version
        if version.type is NodeType.SESSION:
            self.chains[version.id] = []

    def follow(self, prompt: NodeVersion, edge_id: str, recorded_at: int) -> None:
        chain = self.chains[prompt.session]
        if chain:
            self.link(EdgeVersion(edge_id, prompt.created_at, recorded_at, None, None, EdgeType.FOLLOWS,
                                  prompt.id, chain[-1]))  # fmt: skip
        chain.append(prompt.id)

    def link(self, version: EdgeVersion) -> None:
        self.edges[version.id] = version

    def unlink(self, id: str, at: int, recorded_at: int) -> None:
        version = self.edges.pop(id)
        version.end(at, recorded_at)
        self.ended.append(version)

    def update(self, id: str, data: NodeData, at: int, recorded_at: int) -> None:
        old = self.nodes[id]
        starts = max(at, old.valid_from)
        self.nodes[id] = NodeVersion(id, starts, recorded_at, None, None, old.type, data, old.created_at,
                                     old.session, old.stored)  # fmt: skip
        old.end(starts, recorded_at)
        self.ended.append(old)

    def delete(self, id: str, at: int, recorded_at: int, relink: str) -> None:
        version = self.nodes[id]
        if version.type is NodeType.SESSION:
            for item in [item.id for item in self.nodes.values() if item.session == id]:
                self._end(item, at, recorded_at)
            del self.chains[id]
            return
        self._end(id, at, recorded_at)
        if version.type is NodeType.PROMPT:
            chain = self.chains[version.session]
            index = chain.index(id)
            if 0 < index < len(chain) - 1:
                self.link(EdgeVersion(relink, at, recorded_at, None, None, EdgeType.FOLLOWS,
                                      chain[index + 1], chain[index - 1]))  # fmt: skip
            chain.remove(id)

    def _end(self, id: str, at: int, recorded_at: int) -> None:
        for edge in [edge.id for edge in self.edges.values() if id in (edge.source, edge.target)]:
            self.unlink(edge, at, recorded_at)
        version = self.nodes.pop(id)
        version.end(at, recorded_at)
        self.ended.append(version)

    def select(self, condition: NodeFilter) -> list[str]:
        """Ids in the order of Query."""
        matching = [version for version in self.nodes.values() if _matches(version, condition)]
        return [version.id for version in sorted(matching, key=lambda first: (-first.created_at, -first.stored))]

    def then(self, as_of: int, known_at: int) -> tuple[dict[str, NodeVersion], dict[str, EdgeVersion]]:
        """The nodes and edges visible at a point in time."""
        versions = [*self.ended, *self.nodes.values(), *self.edges.values()]
        visible = [version for version in versions if version.visible(as_of, known_at)]
        nodes = {version.id: version for version in visible if isinstance(version, NodeVersion)}
        assert len(nodes) == sum(isinstance(version, NodeVersion) for version in visible), "two versions at once"
        edges = {version.id: version for version in visible if isinstance(version, EdgeVersion)}
        return nodes, {id: edge for id, edge in edges.items() if edge.source in nodes and edge.target in nodes}


def _matches(version: NodeVersion, condition: NodeFilter) -> bool:
    if condition.session_id is not None and (
        version.session != condition.session_id or version.type is NodeType.SESSION
    ):
        return False
    if condition.type is not None and version.type is not condition.type:
        return False
    if condition.after is not None and version.created_at < condition.after:
        return False
    if condition.before is not None and version.created_at > condition.before:
        return False
    if not set(condition.attributes) <= set(attributes(version.data)):
        return False
    return condition.text is None or set(condition.text.split()) <= set(text(version.data).split())
