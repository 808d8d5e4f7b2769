"""TLS and mTLS from files, read again when they change."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub
from support.authority import Authority, Issued
from support.server import Serve


def write(directory: Path, server: Issued, ca: bytes) -> dict[str, str]:
    """The files as a Secret volume lays them."""
    directory.mkdir(exist_ok=True)
    for name, content in (("tls.crt", server.cert), ("tls.key", server.key), ("ca.crt", ca)):
        new = directory / f".{name}"
        new.write_bytes(content)
        new.replace(directory / name)
    return {"TLS_CERT_FILE": str(directory / "tls.crt"), "TLS_KEY_FILE": str(directory / "tls.key")}


def ask(address: str, roots: bytes, client: Issued | None = None) -> None:
    pair = (client.key, client.cert) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(roots, *pair)
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, credentials, options) as channel:
        MemoryGraphServiceStub(channel).Health(Empty(), timeout=30)


def test_certificates_are_read_again_when_they_change(serve: Serve, tmp_path: Path) -> None:
    old, new = Authority("old"), Authority("new")
    files = write(tmp_path / "tls", old.issue("one"), old.pem)
    server = serve(**files)
    ask(server.address, old.pem)
    with pytest.raises(grpc.RpcError):
        ask(server.address, new.pem)
    write(tmp_path / "tls", new.issue("two"), new.pem)
    ask(server.address, new.pem)
    with pytest.raises(grpc.RpcError):
        ask(server.address, old.pem)


@pytest.mark.parametrize(
    ("cert", "key"), [("nonsense", None), (None, "nonsense"), (None, "of another")], ids=["cert", "key", "pair"]
)
def test_a_certificate_that_is_none_or_anothers_is_named(serve: Serve, tmp_path: Path, cert, key) -> None:
    authority = Authority("one")
    good, other = authority.issue("localhost"), authority.issue("localhost")
    keys = {None: good.key, "nonsense": b"nonsense", "of another": other.key}
    files = write(tmp_path / "tls", Issued(cert.encode() if cert else good.cert, keys[key]), authority.pem)
    server = serve(ready=False, **files)
    assert server.wait() == 1
    text = "".join(server.output)
    assert f"TLS_CERT_FILE {files['TLS_CERT_FILE']} and TLS_KEY_FILE" in text
    assert "give two that belong together" in text
    assert "Traceback" not in text


def test_mtls_wants_a_certificate_of_the_clients_ca(serve: Serve, tmp_path: Path) -> None:
    ours, foreign = Authority("ours"), Authority("foreign")
    files = write(tmp_path / "tls", ours.issue("server"), ours.pem)
    server = serve(**files, TLS_CLIENT_CA_FILE=str(tmp_path / "tls" / "ca.crt"))
    ask(server.address, ours.pem, ours.issue("client"))
    with pytest.raises(grpc.RpcError):
        ask(server.address, ours.pem)
    with pytest.raises(grpc.RpcError):
        ask(server.address, ours.pem, foreign.issue("client"))


def test_a_plain_client_gets_nothing_from_a_tls_server(serve: Serve, tmp_path: Path) -> None:
    authority = Authority("ours")
    server = serve(**write(tmp_path / "tls", authority.issue("server"), authority.pem))
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError):
        MemoryGraphServiceStub(channel).Health(Empty(), timeout=30)
