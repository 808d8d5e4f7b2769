"""Bounded decompression of gzip (RFC 1952): a few kilobytes may stand for gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

STEP_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class InflatedTooLarge(Exception):
    """The output is over the limit."""


class DamagedGzip(Exception):
    """The input is no gzip, or is cut off."""


class Inflator:
    """A decompressor of gzip in pieces. limit: most bytes of output."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stream = zlib.decompressobj(_GZIP)
        self._begun = False
        self.inflated = bytearray()

    def feed(self, piece: bytes) -> None:
        """Inflate a piece. Raises `InflatedTooLarge` and `DamagedGzip`."""
        for _ in self.steps(piece):
            pass

    def steps(self, piece: bytes) -> Iterator[None]:
        """Inflate a piece, and yield after each STEP_BYTES of output at most."""
        while piece:
            if self._stream.eof:  # a file may be of several members
                self._stream = zlib.decompressobj(_GZIP)
            self._begun = True
            try:
                max_length = min(self._limit + 1 - len(self.inflated), STEP_BYTES)
                self.inflated += self._stream.decompress(piece, max_length)
            except zlib.error as error:
                raise DamagedGzip(str(error)) from None
            if len(self.inflated) > self._limit:
                raise InflatedTooLarge
            piece = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            yield

    def end(self) -> bytes:
        """Return all of the output. Raises `DamagedGzip` if the end is missing."""
        if not self._begun or not self._stream.eof:
            raise DamagedGzip("the end is missing")
        return bytes(self.inflated)


def inflated(compressed: bytes, limit: int) -> bytes:
    """Inflate all at once. Raises `InflatedTooLarge` and `DamagedGzip`."""
    inflator = Inflator(limit)
    inflator.feed(compressed)
    return inflator.end()
