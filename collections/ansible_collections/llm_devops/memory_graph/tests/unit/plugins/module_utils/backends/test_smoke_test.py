# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The smoke test reads back its write, or says what it cannot; against a server that answers as the test wants."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._memory_messages import SERVICE, messages
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._smoke_test import (
    SmokeTestError,
    SmokeTestResult,
    UnknownSmokeTest,
    open_channel,
    smoke_test,
)
from ansible_collections.llm_devops.memory_graph.plugins.modules import smoke_test as module

M = messages()
REQUESTS = {
    "Health": "Empty",
    "CreateSession": "CreateSessionRequest",
    "AddPrompt": "AddPromptRequest",
    "GetSession": "SessionRequest",
    "GetNode": "GetNodeRequest",
    "Query": "QueryRequest",
    "DeleteSession": "SessionRequest",
}


class FakeMemoryGraph(grpc.GenericRpcHandler):
    """Keeps one session and one prompt; ``lost`` forgets the prompt's content, ``unindexed`` does not find it,
    ``broken`` names a call that fails, ``old`` knows no smoke tests."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.content = ""
        self.lost = self.unindexed = self.old = False
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
        assert ("x-smoke-test", "true") in [tuple(pair) for pair in context.invocation_metadata()]
        if not self.old:
            context.set_trailing_metadata((("x-smoke-test", "pod-1"),))
        if method == self.broken:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the store is gone")
        if method == "AddPrompt":
            self.content = "" if self.lost else request.content
        prompt = M["PromptNode"](id="p", session_id="s", content=self.content)
        is_found = method == "Query" and not self.unindexed and request.filters[0].value in self.content
        return {
            "AddPrompt": prompt,
            "GetNode": M["Node"](id="p", prompt=prompt),
            "Query": M["QueryResponse"](nodes=[M["Node"](id="p")] if is_found else []),
            "DeleteSession": M["Empty"](),
            "Health": M["Empty"](),
        }.get(method, M["Session"](id="s"))


@pytest.fixture
def graph():
    return FakeMemoryGraph()


@pytest.fixture
def channel(graph):
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([graph])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with open_channel(f"127.0.0.1:{port}", None, 10) as opened:
        yield opened
    server.stop(None).wait()


def test_session_is_read_back_and_deleted(graph, channel) -> None:
    measured = smoke_test(channel, 10)
    assert graph.called == list(REQUESTS)
    assert measured.pod == "pod-1"
    assert measured.write_ms > 0
    assert measured.read_ms > 0


def test_prompt_that_reads_back_otherwise_is_an_error(graph, channel) -> None:
    graph.lost = True
    with pytest.raises(SmokeTestError, match="prompt p reads back otherwise than it was written"):
        smoke_test(channel, 10)
    assert graph.called[-1] == "DeleteSession"


def test_prompt_that_is_not_found_by_its_text_is_an_error(graph, channel) -> None:
    graph.unindexed = True
    with pytest.raises(SmokeTestError, match="prompt p is not found by a word of its text — check the full-text index"):
        smoke_test(channel, 10)
    assert graph.called[-1] == "DeleteSession"


def test_nothing_is_written_to_a_service_that_would_keep_it(graph, channel) -> None:
    graph.old = True
    with pytest.raises(UnknownSmokeTest, match=r"the service knows no smoke tests.*upgrade its image"):
        smoke_test(channel, 10)
    assert graph.called == ["Health"]


@pytest.mark.parametrize("method", REQUESTS)
def test_call_that_fails_is_named(graph, channel, method) -> None:
    graph.broken = method
    with pytest.raises(SmokeTestError, match=f"{method} failed with UNAVAILABLE: the store is gone"):
        smoke_test(channel, 10)


def test_session_is_deleted_after_a_failure(graph, channel) -> None:
    graph.broken = "GetNode"
    with pytest.raises(SmokeTestError):
        smoke_test(channel, 10)
    assert graph.called[-1] == "DeleteSession"


def test_nobody_there_is_said_with_the_address() -> None:
    with (
        pytest.raises(SmokeTestError, match=r"127\.0\.0\.1:1 does not answer gRPC within 1 s"),
        open_channel("127.0.0.1:1", None, 1),
    ):
        pass


class Deployed:
    """A Service of two pods, what their metrics say, and the pod that takes the next write."""

    def __init__(self, monkeypatch) -> None:
        self.counts = {"graph-0": 7, "graph-1": 3}
        self.takes, self.counting = "graph-1", True
        monkeypatch.setattr(module, "ready_pods", lambda *_: list(self.counts))
        monkeypatch.setattr(
            module, "read_write_count", lambda _cluster, _namespace, pod, _port, _timeout: self.counts[pod]
        )
        monkeypatch.setattr(module, "write_and_read", self.write)

    def write(self, *_) -> SmokeTestResult:
        if self.counting:
            self.counts[self.takes] += 1
        return SmokeTestResult(write_ms=1.0, read_ms=2.0, pod=self.takes)


PARAMS = {
    "namespace": "n",
    "service": "graph",
    "address": "graph.example:443",
    "port": 50051,
    "metrics_port": 9090,
    "timeout": 5,
}


@pytest.fixture
def deployed(monkeypatch):
    return Deployed(monkeypatch)


def test_this_write_is_counted_by_the_pod_that_took_it(deployed) -> None:
    result = module.verify(None, PARAMS)
    assert (result["pod"], result["writes_before"], result["writes_counted"]) == ("graph-1", 3, 4)
    assert result["report"][0]["text"].startswith("write+read through graph.example:443 ok (1.0 ms, 2.0 ms)")


def test_writes_of_others_prove_nothing(deployed) -> None:
    """The pod has counted writes, and another pod counts one now; this one it forgets."""
    deployed.counting = False
    with pytest.raises(ClusterError, match=r"pod graph-1 took a prompt, but did not count it: .* 3 before and say 3"):
        module.verify(None, PARAMS)


def test_an_address_that_leads_elsewhere_is_told(deployed) -> None:
    deployed.counting, deployed.takes = False, "other-0"
    with pytest.raises(ClusterError, match="other-0 took it, which is no pod of Service/graph"):
        module.verify(None, PARAMS)


def test_a_host_name_is_a_long_pod_name_cut_as_the_kubelet_cuts_it() -> None:
    pod = f"{'a' * 62}-5d9c"
    assert module.pod_named([pod], "a" * 62) == pod
    assert module.pod_named([pod], "b") is None
