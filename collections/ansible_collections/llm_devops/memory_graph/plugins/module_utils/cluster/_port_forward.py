# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A local TCP port that ends in a pod, through the API server's WebSocket port-forward (``v4.channel.k8s.io``)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from .._errors import Unreachable
from ._cluster import Cluster
from ._tcp_listener import Listener

try:
    import websocket
except ImportError:  # the module names the missing library
    websocket = None  # type: ignore[assignment,unused-ignore]

__all__ = ["PortForward", "websocket"]
DATA = 0  # the channel of the pod's bytes; the other one, 1, carries its errors


class PortForward:
    """A local port that leads to a port of a pod.

    ``with PortForward(cluster, namespace, pod, 50051) as address:``; ``address`` is ``127.0.0.1:<port>``.
    Every accepted connection opens its own WebSocket, as the protocol wants.
    """

    def __init__(self, cluster: Cluster, namespace: str, pod: str, port: int) -> None:
        self._cluster, self._namespace, self._pod, self._port = cluster, namespace, pod, port
        self._listener = Listener(self._serve, backlog=8)
        self._open: list[Any] = []
        self.error = ""

    def __enter__(self) -> str:
        return self._listener.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for opened in self._open:
            with contextlib.suppress(OSError, websocket.WebSocketException):
                opened.close()

    def _serve(self, client: socket.socket) -> None:
        try:
            tunnel = self._tunnel()
        except Unreachable as error:
            self.error = str(error)
            client.close()
            return
        self._open += [client, tunnel]
        threading.Thread(target=self._upward, args=(client, tunnel), daemon=True).start()
        self._downward(client, tunnel)

    def _tunnel(self) -> Any:
        access = self._cluster.access
        url = urlsplit(access.server)
        scheme = "wss" if url.scheme == "https" else "ws"
        path = f"/api/v1/namespaces/{self._namespace}/pods/{self._pod}/portforward?ports={self._port}"
        proxy = self._cluster.proxy
        if proxy and proxy.scheme != "http":
            raise Unreachable(f"port-forward cannot go through proxy {proxy.url}", "name a proxy with http://")
        sslopt: dict[str, Any] = {"context": self._cluster.ssl_context()} if scheme == "wss" else {}
        if access.tls_server_name:
            sslopt["server_hostname"] = access.tls_server_name
        try:
            return websocket.create_connection(
                f"{scheme}://{url.netloc}{url.path}{path}",
                subprotocols=["v4.channel.k8s.io"],
                timeout=10,
                sslopt=sslopt,
                header=[f"{key}: {value}" for key, value in self._cluster.auth_headers()],
                http_proxy_host=proxy.host if proxy else None,
                http_proxy_port=proxy.port if proxy else None,
                http_proxy_auth=(proxy.user, proxy.password or "") if proxy and proxy.user else None,
                http_no_proxy=["no.proxy.invalid"] if proxy else ["*"],  # never by its own reading of the environment
                proxy_type="http" if proxy else None,
                enable_multithread=True,
            )
        except (OSError, ssl.SSLError, websocket.WebSocketException) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> Unreachable:
        way_out = {
            401: "log in again, or check api_key and client_cert",
            403: "have a Role granted that allows to create pods/portforward",
            404: "the pod is gone: run again",
        }.get(getattr(error, "status_code", 0), "is the cluster running?")
        return Unreachable(
            f"port-forward to pod {self._pod} in {self._namespace} failed: {' '.join(str(error).split())[:200]}",
            way_out,
        )

    def _upward(self, client: socket.socket, tunnel: Any) -> None:
        with contextlib.suppress(OSError, websocket.WebSocketException):
            while data := client.recv(65536):
                tunnel.send_binary(bytes([DATA]) + data)
            tunnel.close()

    def _downward(self, client: socket.socket, tunnel: Any) -> None:
        greeted: set[int] = set()  # the first frame of each channel only repeats the port number
        tunnel.settimeout(None)
        with contextlib.suppress(OSError, websocket.WebSocketException):
            while frame := tunnel.recv():
                channel, data = frame[0], frame[1:]
                if channel not in greeted:
                    greeted.add(channel)
                elif channel == DATA:
                    client.sendall(data)
                elif data:  # the pod refuses: tell the client at once, not after its timeout
                    self.error = data.decode(errors="replace").strip()
                    break
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        client.close()
