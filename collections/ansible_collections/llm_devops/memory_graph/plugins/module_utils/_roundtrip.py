# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A session written to a memory graph, read back and deleted again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._errors import ClusterError
from ._memory_messages import SERVICE, messages

if TYPE_CHECKING:
    from google.protobuf.message import Message

try:
    import grpc
except ImportError:  # the module names the missing library
    grpc = None  # type: ignore[assignment]


class RoundtripError(ClusterError):
    """The memory graph did not answer, or did not answer with what was written."""


@dataclass(frozen=True)
class Tls:
    """What a TLS connection needs, in PEM, and the name the server's certificate carries if not the address's."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str | None = None


@dataclass(frozen=True)
class Measured:
    """How long the acknowledged write and the two reads took, in milliseconds."""

    write_ms: float
    read_ms: float


@contextmanager
def connected(address: str, tls: Tls | None, timeout: float) -> Iterator[grpc.Channel]:
    """Opens a channel to `address` (host:port) and waits until it is ready, `timeout` seconds at most.

    Raises:
        RoundtripError: when nobody answers there, or not with the TLS that was asked for.
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
        raise RoundtripError(
            f"{address} does not answer {spoken} within {timeout:g} s",
            "check the address, the Service behind it, and whether both sides agree on TLS",
        ) from error
    finally:
        channel.close()


def roundtrip(channel: grpc.Channel, timeout: float) -> Measured:
    """Writes a session (metadata ``verify=true``) with a prompt, reads both back, and deletes the session.

    Raises:
        RoundtripError: when a call fails, or what is read is not what was written.
    """
    message = messages()

    def call(method: str, request: Message, answer: str) -> Any:
        rpc: Callable[..., Any] = channel.unary_unary(
            f"{SERVICE}/{method}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=message[answer].FromString,
        )
        try:
            return rpc(request, timeout=timeout)
        except grpc.RpcError as error:
            raise RoundtripError(
                f"{method} failed with {error.code().name}: {error.details()}", "the log of the pod has the same call"
            ) from error

    content = f"verify {uuid.uuid4()}"
    entry = message["MetadataEntry"](key="verify", value="true")
    session = call("CreateSession", message["CreateSessionRequest"](metadata=[entry]), "Session")
    try:
        begun = time.perf_counter()
        prompt = call("AddPrompt", message["AddPromptRequest"](session_id=session.id, content=content), "PromptNode")
        written = time.perf_counter()
        found = call("GetSession", message["SessionRequest"](session_id=session.id), "Session")
        node = call("GetNode", message["GetNodeRequest"](node_id=prompt.id), "Node")
        read = time.perf_counter()
    except RoundtripError:
        # What is wrong is already known; a session that cannot be deleted either would hide it.
        with suppress(RoundtripError):
            call("DeleteSession", message["SessionRequest"](session_id=session.id), "Empty")
        raise
    call("DeleteSession", message["SessionRequest"](session_id=session.id), "Empty")
    if found.id != session.id or node.prompt.content != content:
        raise RoundtripError(
            f"prompt {prompt.id} reads back otherwise than it was written", "check the service's store"
        )
    return Measured(write_ms=(written - begun) * 1000, read_ms=(read - written) * 1000)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=tls.ca,
        private_key=tls.key,
        certificate_chain=tls.certificate,
    )
