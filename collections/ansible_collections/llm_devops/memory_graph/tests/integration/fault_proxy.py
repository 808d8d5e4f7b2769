# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A TLS reverse proxy before the real API server that injects faults into chosen requests."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from ansible_collections.llm_devops.memory_graph.tests.integration.certificates import LoopbackAuthority

HOP_BY_HOP = ("connection", "transfer-encoding", "host", "content-length", "keep-alive")


@dataclass
class InjectedFault:
    """A fault in the first ``times`` tries of every request that ``matches(verb, path)``.

    ``kind``: status, drop (before it is carried out), lose (after it was: the answer is lost), cut (in the middle of
    the body), slow, hang-up (the connection closes after the answer, unannounced), and of watches: end, gone (410).
    """

    kind: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "injected"
    times: int = 1
    matches: object = staticmethod(lambda _verb, _path: True)


class FaultProxy:
    """``with FaultProxy(cluster, folder) as proxy: connect(proxy.options())``; ``proxy.injected`` may always change."""

    def __init__(self, cluster, folder):
        self.injected = None
        self.hits = 0
        self.requests = []
        self._cluster = cluster
        self._tried = {}
        self._lock = threading.Lock()
        self._authority = LoopbackAuthority()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_FaultHandler,), {"proxy": self}))
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_ignored: None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._authority.chain(folder))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._upstream_tls = cluster.ssl_context()

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_ignored):
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self):
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    @property
    def ca(self):
        return self._authority.certificate

    def kubeconfig(self, **user):
        cluster = {"server": self.url, "certificate-authority-data": base64.b64encode(self.ca).decode()}
        return {
            "current-context": "faulty",
            "contexts": [{"name": "faulty", "context": {"cluster": "faulty", "user": "faulty"}}],
            "clusters": [{"name": "faulty", "cluster": cluster}],
            "users": [{"name": "faulty", "user": user}],
        }

    def options(self):
        return {"kubeconfig": self.kubeconfig()}

    def due(self, verb, path):
        """Return the fault to inject into this try, or None."""
        with self._lock:
            self.requests.append((verb, path))
            injected = self.injected
            if injected is None or not injected.matches(verb, path):
                return None
            tried = self._tried[verb, path] = self._tried.get((verb, path), 0) + 1
            if tried > injected.times:
                return None
            self.hits += 1
            return injected

    def upstream(self):
        url = urlsplit(self._cluster.access.server)
        return http.client.HTTPSConnection(url.hostname, url.port, context=self._upstream_tls, timeout=330)


class _FaultHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy

    def handle(self):
        with contextlib.suppress(OSError, http.client.HTTPException, ssl.SSLError):
            super().handle()

    def log_message(self, *_ignored):
        """Requests are not logged."""

    def _forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _question, query = self.path.partition("?")
        watching = "watch=1" in query
        injected = self.proxy.due(self.command, self.path if watching else path + ("?dry" if "dryRun" in query else ""))
        kind = injected.kind if injected else ""
        if kind == "drop":
            return self._hang_up()
        if kind == "status":
            return self._answer(injected.status, json.dumps(_failure(injected)).encode(), injected.headers)
        if kind == "slow":
            time.sleep(0.3)
        upstream = self.proxy.upstream()
        headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP_BY_HOP}
        upstream.request(self.command, self.path, body or None, headers)
        response = upstream.getresponse()
        try:
            if watching and response.status == 200:
                return self._watch(response, kind)
            data = response.read()
            if kind == "lose":
                return self._hang_up()
            return self._answer(response.status, data, dict(response.getheaders()), cut=kind == "cut",
                                hang_up=kind == "hang-up")  # fmt: skip
        finally:
            upstream.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815 - names BaseHTTPRequestHandler looks for

    def _answer(self, status, data, headers, *, cut=False, hang_up=False):
        self.send_response(status)
        for key, value in headers.items():
            if key.lower() not in HOP_BY_HOP:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()
        if cut or hang_up:
            self._hang_up()

    def _watch(self, response, kind):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in response:
            sent = {"gone": _too_old(), "cut": line[: len(line) // 2]}.get(kind, line)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent))
            self.wfile.flush()
            if kind:
                return self._hang_up()
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _hang_up(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def _failure(injected):
    reasons = {429: "TooManyRequests", 409: "Conflict", 410: "Expired", 401: "Unauthorized", 504: "Timeout"}
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": injected.status,
            "message": injected.message, "reason": reasons.get(injected.status, "InternalError")}  # fmt: skip


def _too_old():
    expired = _failure(InjectedFault("status", 410, message="too old resource version"))
    return json.dumps({"type": "ERROR", "object": expired}).encode() + b"\n"
