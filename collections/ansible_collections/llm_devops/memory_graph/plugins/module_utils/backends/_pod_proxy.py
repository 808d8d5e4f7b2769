# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""An HTTP CONNECT proxy that resolves Service and pod names as inside the cluster.

A client that is told of further servers by the first one reaches them too. It listens on the loopback address.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from .._errors import ClusterError
from ..cluster._cluster import Cluster
from ..cluster._port_forward import PortForward
from ..cluster._tcp_listener import Listener
from ._access import ready_pods

HEAD_LIMIT = 16384
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
REFUSED = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"


class PodProxy:
    """A proxy on a local port that leads to pods of the cluster.

    ``with PodProxy(cluster, namespace) as url:``; ``url`` is ``http://127.0.0.1:<port>``.
    ``kafka.demo.svc:9092`` leads to a ready pod behind the Service ``kafka``, ``kafka-0.brokers.demo.svc:9092`` to the
    pod ``kafka-0`` when no Service has that name. ``error`` is the last error.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._listener = Listener(self._serve, backlog=16)
        self._forwards = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._addresses: dict[tuple[str, int], tuple[PortForward, str]] = {}
        self._last_error = ""

    def __enter__(self) -> str:
        return f"http://{self._listener.open()}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._forwards.close()

    @property
    def error(self) -> str:
        """The last error between here and the pods."""
        return self._last_error or next(
            (forward.error for forward, _near in self._addresses.values() if forward.error), ""
        )

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            try:
                host, port = self._target(client)
                far = socket.create_connection(self._address(host, port))
            except ClusterError as error:
                self._last_error = str(error)
                client.sendall(REFUSED)
                return
            with far:
                client.sendall(ESTABLISHED)
                threading.Thread(target=_copy_bytes, args=(far, client), daemon=True).start()
                _copy_bytes(client, far)

    def _target(self, client: socket.socket) -> tuple[str, int]:
        """Return the target of the client, from its request line ``CONNECT host:port HTTP/1.1``."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece or len(head) > HEAD_LIMIT:
                raise ClusterError("a client of the port-forward asked for nothing")
            head += piece
        host, _colon, port = head.split(b" ", 2)[1].decode().rpartition(":")
        return host, int(port)

    def _address(self, host: str, port: int) -> tuple[str, int]:
        name = host.partition(".")[0]
        with self._lock:
            if (name, port) not in self._addresses:
                forward = PortForward(self._cluster, self._namespace, self._pod(name), port)
                self._addresses[name, port] = (forward, self._forwards.enter_context(forward))
            near, _colon, far = self._addresses[name, port][1].rpartition(":")
        return near, int(far)

    def _pod(self, name: str) -> str:
        if self._cluster.find(f"/api/v1/namespaces/{self._namespace}/services/{name}") is None:
            if self._cluster.find(f"/api/v1/namespaces/{self._namespace}/pods/{name}") is None:
                raise ClusterError(
                    f"namespace {self._namespace} has neither a Service nor a pod {name}", "name what is there"
                )
            return name
        return ready_pods(self._cluster, self._namespace, name)[0]


def _copy_bytes(source: socket.socket, sink: socket.socket) -> None:
    """Copy bytes until either side ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
