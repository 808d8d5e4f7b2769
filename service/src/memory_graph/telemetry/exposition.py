"""The HTTP port for Prometheus and for plain health checks.

It runs on threads of its own, so that a scrape neither waits for the event loop nor holds it up.
"""

from __future__ import annotations

import socket
import threading
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    _Application = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]

_CLIENT_TIMEOUT_S = 10.0


class MetricsServer:
    """A running exposition server. port: the port it listens on, also when 0 was asked for."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server
        self.port: int = server.server_address[1]
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening; returns within a fraction of a second. Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def start_metrics_server(host: str, port: int, registry: CollectorRegistry, ready: Callable[[], bool]) -> MetricsServer:
    """Serves /metrics and /healthz (200 while `ready()`, else 503) until the handle is closed.

    `ready` is called from other threads than the caller's. Raises OSError when the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server_class = type("_Server", (_ThreadingServer,), {"address_family": family})
    server = server_class((host, port), _QuietRequestHandler)
    server.set_app(_application(registry, ready))
    return MetricsServer(server)


def _application(registry: CollectorRegistry, ready: Callable[[], bool]) -> _Application:
    metrics: _Application = make_wsgi_app(registry)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ.get("PATH_INFO", ""):
            case "/metrics":
                return metrics(environ, start_response)
            case "/healthz":
                status, body = ("200 OK", b"ok\n") if ready() else ("503 Service Unavailable", b"not ready\n")
            case _:
                status, body = "404 Not Found", b"there is /metrics and /healthz\n"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
        return [body]

    return application


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        # HTTPServer.server_bind asks DNS for the host's name, which can take seconds in a pod.
        TCPServer.server_bind(self)
        self.server_address = self.socket.getsockname()
        self.server_name = str(self.server_address[0])
        self.server_port = self.server_address[1]
        self.setup_environ()


class _QuietRequestHandler(WSGIRequestHandler):
    timeout = _CLIENT_TIMEOUT_S

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a scrape every few seconds is no news."""
