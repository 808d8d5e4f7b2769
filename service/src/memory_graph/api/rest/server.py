"""The HTTP server of REST, in the event loop of the process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from litestar import Litestar

from memory_graph.api.tls import CertificateFiles
from memory_graph.store.protocol import Spawn, spawn_unwatched

_KEEP_ALIVE_S = 75
_BACKLOG = 1024


class RestServer:
    """The HTTP server, which listens from its construction on. Raises OSError if the port is not free.

    port: the real port, also for 0. spawn: starts its task under supervision."""

    def __init__(
        self,
        app: Litestar,
        host: str,
        port: int,
        *,
        max_connections: int,
        certificates: CertificateFiles | None = None,
        spawn: Spawn = spawn_unwatched,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=max_connections,
            timeout_keep_alive=_KEEP_ALIVE_S,
            ssl_context_factory=(lambda *_: certificates.ssl_context()) if certificates else None,
        )
        config.load()
        self._server = _UvicornServer(config)
        self._serving = spawn(self._server.serve([self._socket]), "rest-server")

    async def close(self, grace_s: float) -> None:
        """Stop to listen, give running requests that many seconds, and end. Idempotent."""
        self._server.config.timeout_graceful_shutdown = max(int(grace_s), 1)
        self._server.should_exit = True
        await asyncio.wait({self._serving})


class _UvicornServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which ends everything in order."""
        yield
