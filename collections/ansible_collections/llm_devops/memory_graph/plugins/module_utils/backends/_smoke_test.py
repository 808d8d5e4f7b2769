# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The smoke test: a session written to a memory graph, read back and deleted again, in a tenant that keeps nothing.

Every call is marked in its metadata (``x-smoke-test``), and a service that knows the mark answers with the name of its
pod. One that does not would write among its users' data: its health is read first, and nothing is written then."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._errors import ClusterError
from ._memory_messages import SERVICE, messages

if TYPE_CHECKING:
    from google.protobuf.message import Message

try:
    import grpc
except ImportError:  # the module names the missing library
    grpc = None  # type: ignore[assignment]


class SmokeTestError(ClusterError):
    """The memory graph did not answer, or did not answer with what was written."""


class UnknownSmokeTest(SmokeTestError):
    """The service is older than smoke tests that leave nothing behind."""


SMOKE_TEST = "x-smoke-test"
_ANSWERS = {
    "Health": "Empty",
    "CreateSession": "Session",
    "AddPrompt": "PromptNode",
    "GetSession": "Session",
    "GetNode": "Node",
    "Query": "QueryResponse",
    "DeleteSession": "Empty",
}


@dataclass(frozen=True)
class Tls:
    """The PEM files of a TLS connection, and the name in the server's certificate where it is not the address's."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str | None = None


@dataclass(frozen=True)
class SmokeTestResult:
    """The milliseconds of the acknowledged write and of the reads, and the host name of the pod that took the write."""

    write_ms: float
    read_ms: float
    pod: str


@contextmanager
def open_channel(address: str, tls: Tls | None, timeout: float) -> Iterator[grpc.Channel]:
    """Open a channel to `address` (host:port), and wait until it is ready, `timeout` seconds at most.

    Raises:
        SmokeTestError: when there is no answer, or none with the given TLS.
    """
    # The controller's proxy variables are for the internet, not for a cluster's port.
    options: list[tuple[str, str | int]] = [("grpc.enable_http_proxy", 0)]
    if tls and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    channel = (
        grpc.secure_channel(address, _credentials(tls), options) if tls else grpc.insecure_channel(address, options)
    )
    try:
        grpc.channel_ready_future(channel).result(timeout=timeout)
        yield channel
    except grpc.FutureTimeoutError as error:
        spoken = "gRPC over TLS" if tls else "gRPC"
        raise SmokeTestError(
            f"{address} does not answer {spoken} within {timeout:g} s",
            "check the address, the Service behind it, and whether both sides agree on TLS",
        ) from error
    finally:
        channel.close()


class _Caller:
    """Calls of methods as a smoke test. ``pod`` is the host name of the pod that answered last."""

    def __init__(self, channel: grpc.Channel, timeout: float) -> None:
        self._channel, self._timeout = channel, timeout
        self.message = messages()
        self.pod = ""

    def __call__(self, method: str, request: Message) -> Any:
        rpc: Any = self._channel.unary_unary(
            f"{SERVICE}/{method}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=self.message[_ANSWERS[method]].FromString,
        )
        try:
            answer, call = rpc.with_call(request, timeout=self._timeout, metadata=((SMOKE_TEST, "true"),))
        except grpc.RpcError as error:
            raise SmokeTestError(
                f"{method} failed with {error.code().name}: {error.details()}", "the log of the pod has the same call"
            ) from error
        self.pod = dict(call.trailing_metadata() or ()).get(SMOKE_TEST, "")
        if not self.pod:
            raise UnknownSmokeTest(
                "the service knows no smoke tests, and would keep what they write: it is older than this collection",
                "upgrade its image",
            )
        return answer


def smoke_test(channel: grpc.Channel, timeout: float) -> SmokeTestResult:
    """Write a session with a prompt, read both back, also by full-text search, and delete the session.

    Raises:
        UnknownSmokeTest: when the service is too old; nothing was written.
        SmokeTestError: when a call fails, or the data read is not the data written.
    """
    call = _Caller(channel, timeout)
    message, word = call.message, uuid.uuid4().hex
    call("Health", message["Empty"]())
    session = call("CreateSession", message["CreateSessionRequest"]())
    of_session = message["SessionRequest"](session_id=session.id)
    content = f"smoke test {word}"
    try:
        started = time.perf_counter()
        prompt = call("AddPrompt", message["AddPromptRequest"](session_id=session.id, content=content))
        written, pod = time.perf_counter(), call.pod
        stored = call("GetSession", of_session)
        node = call("GetNode", message["GetNodeRequest"](node_id=prompt.id))
        text = message["MetadataEntry"](key="text", value=word)
        page = call("Query", message["QueryRequest"](session_id=session.id, filters=[text]))
        read = time.perf_counter()
    except SmokeTestError:
        # What is wrong is already known; a session that cannot be deleted either would hide it.
        with suppress(SmokeTestError):
            call("DeleteSession", of_session)
        raise
    call("DeleteSession", of_session)
    if stored.id != session.id or node.prompt.content != content:
        raise SmokeTestError(
            f"prompt {prompt.id} reads back otherwise than it was written", "check the service's store"
        )
    if [node_found.id for node_found in page.nodes] != [prompt.id]:
        raise SmokeTestError(
            f"prompt {prompt.id} is not found by a word of its text", "check the full-text index of the service's store"
        )
    return SmokeTestResult(write_ms=(written - started) * 1000, read_ms=(read - written) * 1000, pod=pod)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=tls.ca,
        private_key=tls.key,
        certificate_chain=tls.certificate,
    )
