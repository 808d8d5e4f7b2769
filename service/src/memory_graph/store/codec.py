"""Codecs: how content is written to the disk (store.protocol.Codec)."""

from __future__ import annotations


class PlainCodec:
    """Content as it is."""

    def encode(self, tenant: str, node_id: str, content: bytes) -> bytes:  # noqa: ARG002 - the shape is the protocol's
        return content

    def decode(self, tenant: str, node_id: str, stored: bytes) -> bytes:  # noqa: ARG002 - the shape is the protocol's
        return stored
