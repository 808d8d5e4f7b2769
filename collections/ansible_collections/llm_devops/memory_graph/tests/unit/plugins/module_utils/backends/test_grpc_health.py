# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The client of the gRPC health checking protocol, against a server of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends import _grpc_health
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


@pytest.fixture
def server():
    serving = health.HealthServicer()
    serving.set("ready", health_pb2.HealthCheckResponse.SERVING)
    serving.set("broken", health_pb2.HealthCheckResponse.NOT_SERVING)
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(serving, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_grpc_health_tells_each_service(server):
    result = _grpc_health.check("pod", server, ["ready", "broken", "other"], timeout=5, deadline=time.monotonic())
    assert [item.status for item in result] == ["SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]
    assert result[0].target == "pod"
    assert result[0].latency_ms > 0


def test_grpc_health_of_nothing_is_unreachable():
    (result,) = _grpc_health.check("pod", "127.0.0.1:1", [""], timeout=2, deadline=time.monotonic())
    assert result.status == "UNREACHABLE"
    assert "UNAVAILABLE" in result.detail
