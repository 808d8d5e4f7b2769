"""Codecs: how content is written to the disk (store.protocol.Codec)."""

from __future__ import annotations


class PlainCodec:
    """Content as it is."""

    def encode(self, tenant: str, node_id: str, content: bytes) -> bytes:
        return content

    def decode(self, tenant: str, node_id: str, stored: bytes) -> bytes:
        return stored
