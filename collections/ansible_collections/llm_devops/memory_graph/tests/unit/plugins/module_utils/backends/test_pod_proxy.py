# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Names of inside the cluster lead to pods, through a proxy on the loopback address."""

from __future__ import annotations

import http.client
import socketserver
import threading
from typing import ClassVar

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends import _pod_proxy
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._pod_proxy import PodProxy


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Forward:
    """A port-forward to an echo; keeps to which pod it would lead."""

    opened: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, _cluster, _namespace, pod, port):
        Forward.opened.append((pod, port))
        self.error = ""
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
        self._server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class ServiceCluster:
    """Has one Service and one pod."""

    def find(self, path):
        return {} if path.endswith(("/services/kafka", "/pods/kafka-1")) else None


@pytest.fixture
def opened(monkeypatch):
    monkeypatch.setattr(_pod_proxy, "PortForward", Forward)
    monkeypatch.setattr(_pod_proxy, "ready_pods", lambda _cluster, _namespace, service: [f"{service}-0"])
    monkeypatch.setattr(Forward, "opened", [])
    return Forward.opened


def through(url, host, port, data):
    """Return the answer to data sent to a name through the proxy."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.set_tunnel(host, port)
    connection.connect()
    try:
        connection.sock.sendall(data)
        return connection.sock.makefile("rb").read(len(data))
    finally:
        connection.close()


def test_a_service_leads_to_a_pod_behind_it_and_another_name_to_the_pod(opened):
    data = b"x" * 300_000
    with PodProxy(ServiceCluster(), "demo") as url:
        for name in ("kafka", "kafka.demo.svc", "kafka-1.brokers.demo.svc"):
            assert through(url, name, 9092, data) == data
    assert opened == [("kafka-0", 9092), ("kafka-1", 9092)]


def test_a_service_without_pods_is_refused_and_said(opened, monkeypatch):
    def nobody(*_):
        raise ClusterError("Service/kafka has no ready pod")

    monkeypatch.setattr(_pod_proxy, "ready_pods", nobody)
    proxy = PodProxy(ServiceCluster(), "demo")
    with proxy as url, pytest.raises(OSError, match="502"):
        through(url, "kafka", 9092, b"x")
    assert proxy.error == "Service/kafka has no ready pod"
    assert opened == []


def test_a_name_that_nothing_has_is_refused_and_said(opened):
    proxy = PodProxy(ServiceCluster(), "demo")
    with proxy as url, pytest.raises(OSError, match="502"):
        through(url, "broker", 9092, b"x")
    assert proxy.error == "namespace demo has neither a Service nor a pod broker — name what is there"
    assert opened == []
