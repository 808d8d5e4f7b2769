# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What is written is read back, and what is not is said; against a server that answers as the test wants."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._memory_messages import SERVICE, messages
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._roundtrip import (
    RoundtripError,
    connected,
    roundtrip,
)

M = messages()
REQUESTS = {
    "CreateSession": "CreateSessionRequest",
    "AddPrompt": "AddPromptRequest",
    "GetSession": "SessionRequest",
    "GetNode": "GetNodeRequest",
    "DeleteSession": "SessionRequest",
}


class Graph(grpc.GenericRpcHandler):
    """Keeps one session and one prompt; ``lost`` forgets the prompt's content, ``broken`` names a call that fails."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.metadata: dict[str, str] = {}
        self.content = ""
        self.lost = False
        self.broken = ""

    def service(self, handler_call_details):
        method = handler_call_details.method.removeprefix(f"{SERVICE}/")
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.answer(method, request, context),
            request_deserializer=M[REQUESTS[method]].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def answer(self, method, request, context):
        self.called.append(method)
        if method == self.broken:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the store is gone")
        if method == "CreateSession":
            self.metadata = {entry.key: entry.value for entry in request.metadata}
        if method == "AddPrompt":
            self.content = "" if self.lost else request.content
        prompt = M["PromptNode"](id="p", session_id="s", content=self.content)
        return {
            "AddPrompt": prompt,
            "GetNode": M["Node"](id="p", prompt=prompt),
            "DeleteSession": M["Empty"](),
        }.get(method, M["Session"](id="s"))


@pytest.fixture
def graph():
    return Graph()


@pytest.fixture
def channel(graph):
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([graph])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with connected(f"127.0.0.1:{port}", None, 10) as opened:
        yield opened
    server.stop(None).wait()


def test_session_is_marked_read_back_and_deleted(graph, channel) -> None:
    measured = roundtrip(channel, 10)
    assert graph.called == list(REQUESTS)
    assert graph.metadata == {"verify": "true"}
    assert measured.write_ms > 0
    assert measured.read_ms > 0


def test_prompt_that_reads_back_otherwise_is_an_error(graph, channel) -> None:
    graph.lost = True
    with pytest.raises(RoundtripError, match="prompt p reads back otherwise than it was written"):
        roundtrip(channel, 10)
    assert graph.called[-1] == "DeleteSession"


@pytest.mark.parametrize("method", REQUESTS)
def test_call_that_fails_is_named(graph, channel, method) -> None:
    graph.broken = method
    with pytest.raises(RoundtripError, match=f"{method} failed with UNAVAILABLE: the store is gone"):
        roundtrip(channel, 10)


def test_session_is_deleted_after_a_failure(graph, channel) -> None:
    graph.broken = "GetNode"
    with pytest.raises(RoundtripError):
        roundtrip(channel, 10)
    assert graph.called[-1] == "DeleteSession"


def test_nobody_there_is_said_with_the_address() -> None:
    with (
        pytest.raises(RoundtripError, match=r"127\.0\.0\.1:1 does not answer gRPC within 1 s"),
        connected("127.0.0.1:1", None, 1),
    ):
        pass
