"""The HTTP server of REST, in the event loop of the process."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import uvicorn
from litestar import Litestar

_KEEP_ALIVE_S = 75
_BACKLOG = 1024


class HttpTls(msgspec.Struct, frozen=True):
    """Certificates as PEM files. client_ca: clients must show a certificate of these CAs."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class RestServer:
    """Listens from when it is made; port: where, also when 0 was asked for. Raises OSError when the port cannot be
    had."""

    def __init__(self, app: Litestar, host: str, port: int, *, max_connections: int, tls: HttpTls | None) -> None:
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
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
            ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
        )
        config.load()  # what is wrong with certificates is to be heard now
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve([self._socket]), name="rest")

    async def close(self, grace_s: float) -> None:
        """Takes no more connections, gives running requests that many seconds, and ends. Idempotent."""
        self._server.config.timeout_graceful_shutdown = max(int(grace_s), 1)
        self._server.should_exit = True
        await self._serving


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the process, which ends everything in order."""
        yield
