"""The body of a request: read within bounds of bytes and time, and inflated if it is compressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from litestar import Request
from litestar.exceptions import ClientException

from memory_graph.api.rest.inflate import Damaged, Inflator, TooLarge
from memory_graph.api.rest.problems import Problem
from memory_graph.flow.budget import ByteBudget
from memory_graph.model.numbers import whole

_GRAIN_BYTES = 16 * 1024
_MOST_DIGITS = 19
BUSY_S = 1.0
"""How long a request waits for room, until it is told to come again."""


class Bodies:
    """limit: most bytes of a body, as it is sent and as it is inflated. read_s: how long reading may take, in seconds.

    What is being read by all requests is bounded at four times the limit.
    """

    def __init__(self, limit: int, read_s: float) -> None:
        self.limit = limit
        self._read_s = read_s
        self._budget = ByteBudget(4 * limit)

    @asynccontextmanager
    async def read(self, request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
        """The body, inflated; its bytes count until the block is left. Raises `Problem`."""
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            detail = f"Content-Encoding {encoding[:64]!r} is not known; send gzip, or nothing"
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        self._refuse_large(request)
        held = _Held(self._budget)
        try:
            yield await self._read(request, held, compressed=encoding == "gzip")
        finally:
            held.release()

    async def _read(self, request: Request[Any, Any, Any], held: _Held, *, compressed: bool) -> bytes:
        try:
            async with asyncio.timeout(self._read_s):
                return await (self._inflated(request, held) if compressed else self._plain(request, held))
        except TimeoutError:
            detail = f"the body did not come within {self._read_s:g} s; send it at once"
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail) from None
        except ClientException as error:
            raise Problem(HTTPStatus.BAD_REQUEST, error.detail) from None

    def _refuse_large(self, request: Request[Any, Any, Any]) -> None:
        announced = request.headers.get("content-length", "")
        if (whole(announced) or 0) > self.limit or len(announced) > _MOST_DIGITS:
            raise self._too_large()

    async def _plain(self, request: Request[Any, Any, Any], held: _Held) -> bytes:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > self.limit:
                raise self._too_large()
            await held.hold(len(body))
        return bytes(body)

    async def _inflated(self, request: Request[Any, Any, Any], held: _Held) -> bytes:
        inflator = Inflator(self.limit)
        try:
            async for piece in request.stream():
                for _ in inflator.steps(piece):
                    await held.hold(len(inflator.inflated))
            return inflator.end()
        except TooLarge:
            raise self._too_large() from None
        except Damaged as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"the body is no gzip: {error}") from None

    def _too_large(self) -> Problem:
        detail = f"the body is larger than {self.limit:,} bytes, or inflates to more; send smaller batches"
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


class _Held:
    """The part of a budget that one body has: it grows as the body comes."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._size = 0

    async def hold(self, size: int) -> None:
        """Raises `Problem` (429) where there is no room for so much in time."""
        more = size - self._size
        if more > 0:
            more = max(more, _GRAIN_BYTES)
            await within(self._budget, more)
            self._size += more

    def release(self) -> None:
        self._budget.release(self._size)
        self._size = 0


async def within(budget: ByteBudget, size: int) -> None:
    """Reserves bytes. Raises `Problem` (429) where there is no room for them in time."""
    try:
        async with asyncio.timeout(BUSY_S):
            await budget.reserve(size)
    except TimeoutError:
        raise busy() from None


def busy() -> Problem:
    """More was accepted than is stored yet."""
    detail = "too much is waiting to be stored; send this again later"
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=1)
