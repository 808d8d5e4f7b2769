"""gzip (RFC 1952), with a bound on what comes out: a few kilobytes may stand for gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

STEP_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class TooLarge(Exception):
    """More comes out than may."""


class Damaged(Exception):
    """It is no gzip, or cut off."""


class Inflator:
    """Takes compressed bytes piece by piece. limit: most bytes that may come out."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stream = zlib.decompressobj(_GZIP)
        self._begun = False
        self.inflated = bytearray()

    def feed(self, piece: bytes) -> None:
        """Raises `TooLarge` and `Damaged`."""
        for _ in self.steps(piece):
            pass

    def steps(self, piece: bytes) -> Iterator[None]:
        """The same, with a pause whenever up to STEP_BYTES more have come out."""
        while piece:
            if self._stream.eof:  # a file may be of several members
                self._stream = zlib.decompressobj(_GZIP)
            self._begun = True
            try:
                most = min(self._limit + 1 - len(self.inflated), STEP_BYTES)
                self.inflated += self._stream.decompress(piece, most)
            except zlib.error as error:
                raise Damaged(str(error)) from None
            if len(self.inflated) > self._limit:
                raise TooLarge
            piece = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            yield

    def end(self) -> bytes:
        """All of it. Raises `Damaged` where the end is missing."""
        if not self._begun or not self._stream.eof:
            raise Damaged("the end is missing")
        return bytes(self.inflated)


def inflated(compressed: bytes, limit: int) -> bytes:
    """All at once. Raises `TooLarge` and `Damaged`."""
    inflator = Inflator(limit)
    inflator.feed(compressed)
    return inflator.end()
