# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy that knows CONNECT alone (RFC 9110 section 9.3.6) and leads everywhere to one address."""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
import socketserver
import ssl
import threading


class ConnectProxy:
    """``with ConnectProxy(host, port) as proxy``; ``targets`` lists what clients asked for; all reach the one address.

    :param credentials: ``user:password`` it asks for. :param status: what it refuses with. :param chain: TLS to itself.
    """

    def __init__(self, host, port, *, credentials="", status="", chain=None):
        self.targets = []
        self._destination = (host, port)
        self._required_header = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else ""
        self._status = status
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if chain else None
        if self._context:
            self._context.load_cert_chain(chain)
        handler = type("Handler", (_ConnectHandler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_ignored):
        self._server.shutdown()
        self._server.server_close()

    def wrapped(self, connection):
        return self._context.wrap_socket(connection, server_side=True) if self._context else connection

    def refusal(self, headers):
        if self._status:
            return self._status
        sent_header = headers.get("proxy-authorization", "")
        return "407 Proxy Authentication Required" if sent_header != self._required_header else ""

    def connect(self):
        return socket.create_connection(self._destination)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_ignored):
        """A client that gives up is not worth a traceback."""


class _ConnectHandler(socketserver.BaseRequestHandler):
    proxy: ConnectProxy

    def handle(self):
        client = self.proxy.wrapped(self.request)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return
            head += byte
        first, *lines = head.decode().strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
        refusal = self.proxy.refusal(headers)
        if refusal:
            client.sendall(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        self.proxy.targets.append(first.split(" ")[1])
        with self.proxy.connect() as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with contextlib.suppress(OSError):
                _relay(client, server)


def _relay(client, server):
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        while True:
            for key, _events in selector.select():
                data = key.fileobj.recv(65536)
                if not data:
                    return
                key.data.sendall(data)
                while getattr(key.fileobj, "pending", int)():  # TLS may hold bytes no selector sees
                    key.data.sendall(key.fileobj.recv(65536))
