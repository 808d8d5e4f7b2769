"""Reflection, and grpcurl as a user would point it at the server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from support.server import ServerProcess

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_every_service(channel: grpc.Channel, version: str) -> None:
    invoke = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (reply,) = invoke(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]), timeout=30)
    assert {service.name for service in reply.list_services_response.service} >= {
        "llm.memory.graph.v1.MemoryGraphService",
        "llm.memory.graph.v1.GraphQueryService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    }


@pytest.fixture(scope="session")
def grpcurl() -> str:
    """The real tool: the one on PATH, or built once into the user's cache."""
    path = shutil.which("grpcurl")
    if path:
        return path
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memory-graph" / "bin"
    if not (cache / "grpcurl").exists():
        env = {**os.environ, "GOBIN": str(cache), "CGO_ENABLED": "0"}
        subprocess.run(["go", "install", GRPCURL], env=env, check=True)
    return str(cache / "grpcurl")


def test_grpcurl_works_without_proto_files(grpcurl: str, shared_server: ServerProcess) -> None:
    def call(method: str, request: dict[str, object]) -> dict[str, object]:
        command = [grpcurl, "-plaintext", "-d", json.dumps(request), shared_server.address]
        done = subprocess.run([*command, f"llm.memory.graph.v1.{method}"], check=True, capture_output=True, timeout=60)
        return json.loads(done.stdout)

    session = call("MemoryGraphService/CreateSession", {"metadata": {"user": "me"}})
    prompt = call("MemoryGraphService/AddPrompt", {"session_id": session["id"], "content": "Hello"})
    assert prompt["content"] == "Hello"
    closed = call("GraphQueryService/CloseSession", {"session_id": session["id"]})
    assert "isActive" not in closed
    listed = subprocess.run(
        [grpcurl, "-plaintext", shared_server.address, "list"], check=True, capture_output=True, text=True, timeout=60
    )
    assert "llm.memory.graph.v1.MemoryGraphService" in listed.stdout
