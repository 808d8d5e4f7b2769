# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A client of grpc.health.v1, the gRPC health checking protocol."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

try:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc
except ImportError:  # the module names the missing library
    grpc = None  # type: ignore[assignment]

__all__ = ["Health", "check", "grpc"]


@dataclass
class Health:
    """The health of one service at an address.

    ``status`` is a name of ``ServingStatus``, or UNREACHABLE; ``latency_ms`` is of the answering call alone.
    """

    target: str
    service: str
    status: str
    latency_ms: float = 0.0
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check(target: str, address: str, services: list[str], *, timeout: float, deadline: float, interval: float = 0.5,
          ca: bytes | None = None, server_name: str | None = None) -> list[Health]:  # fmt: skip
    """Ask for each service until it serves or ``deadline`` (monotonic seconds) has passed.

    :param timeout: seconds one call may take.
    """
    options = [("grpc.ssl_target_name_override", server_name)] if server_name else []
    if ca is None:
        channel = grpc.insecure_channel(address, options=options)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca or None), options=options)
    with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return [_until_serving(stub, target, service, timeout, deadline, interval) for service in services]


def _until_serving(stub: Any, target: str, service: str, timeout: float, deadline: float, interval: float) -> Health:
    while True:
        health = _once(stub, target, service, timeout)
        if health.status == "SERVING" or time.monotonic() + interval > deadline:
            return health
        time.sleep(interval)


def _once(stub: Any, target: str, service: str, timeout: float) -> Health:
    start = time.monotonic()
    try:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
    except grpc.RpcError as error:
        unknown = error.code() == grpc.StatusCode.NOT_FOUND
        return Health(target, service, "SERVICE_UNKNOWN" if unknown else "UNREACHABLE", 0.0,
                      f"{error.code().name}: {error.details()}")  # fmt: skip
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return Health(target, service, status, round((time.monotonic() - start) * 1000, 1))
