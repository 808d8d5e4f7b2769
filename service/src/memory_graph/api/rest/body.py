"""Reads the body of a request within bounds of bytes and time, and inflates it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from litestar import Request
from litestar.exceptions import ClientException

from memory_graph.api.rest.inflate import DamagedGzip, InflatedTooLarge, Inflator
from memory_graph.api.rest.problems import Problem
from memory_graph.flow.byte_semaphore import ByteSemaphore
from memory_graph.model.numbers import whole

_GRAIN_BYTES = 16 * 1024
_MAX_DIGITS = 19
RESERVE_TIMEOUT_S = 1.0
"""Longest wait of a request for memory before the answer is 429."""


class BodyReader:
    """Reads bodies. limit: most bytes of a body, as it is sent and as it is inflated. timeout_s: of reading one.

    The bodies that all requests read at one time are bounded at four times the limit.
    """

    def __init__(self, limit: int, timeout_s: float) -> None:
        self.limit = limit
        self._timeout_s = timeout_s
        self._semaphore = ByteSemaphore(4 * limit)

    @asynccontextmanager
    async def read(self, request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
        """Yield the inflated body; its bytes stay reserved until the block is left. Raises `Problem`."""
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            detail = f"Content-Encoding {encoding[:64]!r} is not known; send gzip, or nothing"
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        self._refuse_large(request)
        reservation = _Reservation(self._semaphore)
        try:
            yield await self._read(request, reservation, compressed=encoding == "gzip")
        finally:
            reservation.release()

    async def _read(self, request: Request[Any, Any, Any], reservation: _Reservation, *, compressed: bool) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await (self._inflated(request, reservation) if compressed else self._plain(request, reservation))
        except TimeoutError:
            detail = f"the body did not come within {self._timeout_s:g} s; send it at once"
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail) from None
        except ClientException as error:
            raise Problem(HTTPStatus.BAD_REQUEST, error.detail) from None

    def _refuse_large(self, request: Request[Any, Any, Any]) -> None:
        announced = request.headers.get("content-length", "")
        if (whole(announced) or 0) > self.limit or len(announced) > _MAX_DIGITS:
            raise self._too_large()

    async def _plain(self, request: Request[Any, Any, Any], reservation: _Reservation) -> bytes:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > self.limit:
                raise self._too_large()
            await reservation.grow_to(len(body))
        return bytes(body)

    async def _inflated(self, request: Request[Any, Any, Any], reservation: _Reservation) -> bytes:
        inflator = Inflator(self.limit)
        try:
            async for piece in request.stream():
                for _ in inflator.steps(piece):
                    await reservation.grow_to(len(inflator.inflated))
            return inflator.end()
        except InflatedTooLarge:
            raise self._too_large() from None
        except DamagedGzip as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"the body is no gzip: {error}") from None

    def _too_large(self) -> Problem:
        detail = f"the body is larger than {self.limit:,} bytes, or inflates to more; send smaller batches"
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


class _Reservation:
    """The share of one body in a semaphore, which grows while the body arrives."""

    def __init__(self, semaphore: ByteSemaphore) -> None:
        self._semaphore = semaphore
        self._size = 0

    async def grow_to(self, size: int) -> None:
        """Raise `Problem` (429) if there is no room in time."""
        more = size - self._size
        if more > 0:
            more = max(more, _GRAIN_BYTES)
            await reserve(self._semaphore, more)
            self._size += more

    def release(self) -> None:
        self._semaphore.release(self._size)
        self._size = 0


async def reserve(semaphore: ByteSemaphore, size: int) -> None:
    """Reserve bytes. Raises `Problem` (429) if there is no room for them in time."""
    try:
        async with asyncio.timeout(RESERVE_TIMEOUT_S):
            await semaphore.acquire(size)
    except TimeoutError:
        raise busy() from None


def busy() -> Problem:
    """Return the 429 for a service that has accepted more than it can store now."""
    detail = "too much is waiting to be stored; send this again later"
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=1)
