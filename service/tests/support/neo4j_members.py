"""A leader and a replica as a client sees them: two ways to one real server, whose routing table names both."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

_BEGIN = re.compile(rb"\xb1\x11([\xa0-\xaf].*?)\x00\x00", re.DOTALL)
"""A BEGIN message of Bolt with the end of its last chunk."""
_ROUTE = re.compile(rb"(\x89addresses\x91\x8f)127\.0\.0\.1:\d{5}(\x84role.(?:READ|WRITE|ROUTE))")
"""The addresses of one role in the answer to ROUTE."""


class Begun(NamedTuple):
    """A transaction. bookmarks: whether it named any."""

    reads: bool
    bookmarks: bool


class Neo4jMembers:
    """The transactions of each member of a simulated cluster. `uri` leads to the leader, which routes to both."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.leader: list[Begun] = []
        self.replica: list[Begun] = []
        self.ports: dict[bytes, int] = {}

    @property
    def uri(self) -> str:
        return f"neo4j://127.0.0.1:{self.ports[b'WRITE']}"

    async def serve(self, begun: list[Begun], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes on one connection."""
        answers, questions = await asyncio.open_connection("127.0.0.1", self._server_port)

        async def ask() -> None:
            while data := await reader.read(1 << 16):
                begun.extend(_begun(data))
                questions.write(data)
            questions.close()

        async def answer() -> None:
            while data := await answers.read(1 << 16):
                writer.write(_ROUTE.sub(self._named, data))
            writer.close()

        with contextlib.suppress(OSError):
            await asyncio.gather(ask(), answer())

    def _named(self, match: re.Match[bytes]) -> bytes:
        role = match[2].rsplit(b"role")[-1][1:]
        return b"%s127.0.0.1:%05d%s" % (match[1], self.ports[role], match[2])


def _begun(data: bytes) -> list[Begun]:
    bodies = [match[1] for match in _BEGIN.finditer(data)]
    return [
        Begun(b"\x84mode\x81r" in body, re.search(rb"\x89bookmarks[\x91-\x9f]", body) is not None) for body in bodies
    ]


@asynccontextmanager
async def members(server_port: int) -> AsyncIterator[Neo4jMembers]:
    """Both listen until the end of the context."""
    cluster = Neo4jMembers(server_port)
    async with contextlib.AsyncExitStack() as stack:
        for begun, roles in ((cluster.leader, (b"WRITE", b"ROUTE")), (cluster.replica, (b"READ",))):
            listening = await asyncio.start_server(
                lambda reader, writer, begun=begun: cluster.serve(begun, reader, writer), "127.0.0.1", 0
            )
            await stack.enter_async_context(listening)
            cluster.ports.update(dict.fromkeys(roles, listening.sockets[0].getsockname()[1]))
        yield cluster
