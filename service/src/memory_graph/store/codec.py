"""Encoding of content on its way to the disk, through a codec (store.protocol.Codec), in every store the same."""

from __future__ import annotations

import msgspec

from memory_graph.model.kinds import NodeType
from memory_graph.model.nodes import Edge, Node, NodeData, TemplateData
from memory_graph.store.protocol import Codec
from memory_graph.store.rules.idempotency import without_count


class PlainCodec:
    """Content as it is."""

    def encode(self, tenant: str, node_id: str, content: bytes) -> bytes:  # noqa: ARG002 - the shape is the protocol's
        return content

    def decode(self, tenant: str, node_id: str, stored: bytes) -> bytes:  # noqa: ARG002 - the shape is the protocol's
        return stored


class NodeCodec:
    """Encodes and decodes with one codec. Not for use by two threads at once."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._encoder = msgspec.msgpack.Encoder()
        self._data: msgspec.msgpack.Decoder[NodeData] = msgspec.msgpack.Decoder(NodeData)
        self._properties = msgspec.msgpack.Decoder(dict[str, str])

    def encode_data(self, tenant: str, id: str, data: NodeData) -> bytes:
        """A node's data as it is stored. The usage_count of a template is not in it: stores count that beside it."""
        return self._codec.encode(tenant, id, self._encoder.encode(without_count(data)))

    def decode_data(self, tenant: str, id: str, stored: bytes) -> NodeData:
        return self._data.decode(self._codec.decode(tenant, id, stored))

    def to_node(
        self,
        tenant: str,
        id: str,
        type: NodeType,
        session_id: str | None,
        times: tuple[int, int, int],
        uses: int | None,
        stored: bytes,
    ) -> Node:
        """A node as it is read. times: created_at, updated_at, recorded_at. uses: of a template."""
        data = self._data.decode(self._codec.decode(tenant, id, stored))
        if uses and isinstance(data, TemplateData):
            data = msgspec.structs.replace(data, usage_count=uses)
        return Node(
            id=id,
            type=type,
            data=data,
            created_at=times[0],
            updated_at=times[1],
            session_id=session_id,
            recorded_at=times[2],
        )

    def encode_properties(self, tenant: str, edge: Edge) -> bytes | None:
        """An edge's properties as they are stored; None for none."""
        if not edge.properties:
            return None
        return self._codec.encode(tenant, edge.id, self._encoder.encode(edge.properties))

    def decode_properties(self, tenant: str, id: str, stored: bytes | None) -> dict[str, str]:
        return {} if stored is None else self._properties.decode(self._codec.decode(tenant, id, stored))
