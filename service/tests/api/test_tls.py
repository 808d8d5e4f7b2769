"""TLS and mTLS from files, read again when they change."""

from __future__ import annotations

import http.client
import ssl
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub
from support.authority import Issued, LocalhostAuthority
from support.server import Serve, ServerProcess


def write(directory: Path, server: Issued, ca: bytes) -> dict[str, str]:
    """The files as a Secret volume lays them."""
    directory.mkdir(exist_ok=True)
    for name, content in (("tls.crt", server.cert), ("tls.key", server.key), ("ca.crt", ca)):
        new = directory / f".{name}"
        new.write_bytes(content)
        new.replace(directory / name)
    return {"TLS_CERT_FILE": str(directory / "tls.crt"), "TLS_KEY_FILE": str(directory / "tls.key")}


def ask_grpc(server: ServerProcess, roots: bytes, client: Issued | None = None) -> None:
    pair = (client.key, client.cert) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(roots, *pair)
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(server.address, credentials, options) as channel:
        MemoryGraphServiceStub(channel).Health(Empty(), timeout=30)


def ask_rest(server: ServerProcess, roots: bytes, client: Issued | None = None) -> None:
    context = ssl.create_default_context(cadata=roots.decode())
    if client is not None:
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(client.cert + client.key)
            pair.flush()
            context.load_cert_chain(pair.name)
    with closing(http.client.HTTPSConnection("localhost", server.rest_port, timeout=30, context=context)) as connection:
        connection.request("GET", "/ready")
        assert connection.getresponse().status == 200


Ask = Callable[..., None]
either = pytest.mark.parametrize("ask", [ask_grpc, ask_rest], ids=["grpc", "rest"])
REFUSED = (grpc.RpcError, OSError, http.client.HTTPException)


@either
def test_certificates_are_read_again_when_they_change(serve: Serve, tmp_path: Path, ask: Ask) -> None:
    old, new = LocalhostAuthority(), LocalhostAuthority()
    files = write(tmp_path / "tls", old.issue("one"), old.pem)
    server = serve(**files)
    ask(server, old.pem)
    with pytest.raises(REFUSED):
        ask(server, new.pem)
    write(tmp_path / "tls", new.issue("two"), new.pem)
    ask(server, new.pem)
    with pytest.raises(REFUSED):
        ask(server, old.pem)
    assert server.stop() == 0
    assert sum(line["message"] == "TLS files read again" for line in server.log) == 1


@either
def test_the_cas_of_clients_are_read_again_and_those_taken_out_are_trusted_no_more(
    serve: Serve, tmp_path: Path, ask: Ask
) -> None:
    ours, old, new = LocalhostAuthority(), LocalhostAuthority(), LocalhostAuthority()
    issued = ours.issue("server")
    files = write(tmp_path / "tls", issued, old.pem)
    server = serve(**files, TLS_CLIENT_CA_FILE=str(tmp_path / "tls" / "ca.crt"))
    ask(server, ours.pem, old.issue("client"))
    write(tmp_path / "tls", issued, new.pem)
    ask(server, ours.pem, new.issue("client"))
    for client in (old.issue("client"), None):
        with pytest.raises(REFUSED):
            ask(server, ours.pem, client)


@either
@pytest.mark.parametrize("wrong", ["cert", "pair", "ca", "gone"])
def test_files_that_cannot_be_used_leave_those_before_in_use_until_they_can(
    serve: Serve, tmp_path: Path, ask: Ask, wrong: str
) -> None:
    old, new = LocalhostAuthority(), LocalhostAuthority()
    folder = tmp_path / "tls"
    files = write(folder, old.issue("one"), old.pem)
    server = serve(**files, TLS_CLIENT_CA_FILE=str(folder / "ca.crt"))
    ask(server, old.pem, old.issue("client"))
    good = new.issue("two")
    if wrong == "gone":
        (folder / "tls.key").unlink()
    else:
        cert = b"nonsense" if wrong == "cert" else good.cert
        key = new.issue("another").key if wrong == "pair" else good.key
        write(folder, Issued(cert, key), b"nonsense" if wrong == "ca" else new.pem)
    for _ in range(2):
        ask(server, old.pem, old.issue("client"))
    write(folder, good, new.pem)
    ask(server, new.pem, new.issue("client"))
    assert server.stop() == 0
    warnings = [line for line in server.log if "those read before stay in use" in str(line["message"])]
    assert warnings
    assert wrong == "gone" or len(warnings) == 1, "one warning for one change"


def test_client_cas_that_are_none_are_named(serve: Serve, tmp_path: Path) -> None:
    authority = LocalhostAuthority()
    files = write(tmp_path / "tls", authority.issue("localhost"), b"nonsense")
    server = serve(ready=False, **files, TLS_CLIENT_CA_FILE=str(tmp_path / "tls" / "ca.crt"))
    assert server.wait() == 1
    text = "".join(server.output)
    assert f"TLS_CLIENT_CA_FILE {tmp_path / 'tls' / 'ca.crt'} holds no certificate" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("cert", "key"), [("nonsense", None), (None, "nonsense"), (None, "of another")], ids=["cert", "key", "pair"]
)
def test_a_certificate_that_is_none_or_anothers_is_named(serve: Serve, tmp_path: Path, cert, key) -> None:
    authority = LocalhostAuthority()
    good, other = authority.issue("localhost"), authority.issue("localhost")
    keys = {None: good.key, "nonsense": b"nonsense", "of another": other.key}
    files = write(tmp_path / "tls", Issued(cert.encode() if cert else good.cert, keys[key]), authority.pem)
    server = serve(ready=False, **files)
    assert server.wait() == 1
    text = "".join(server.output)
    assert f"TLS_CERT_FILE {files['TLS_CERT_FILE']} and TLS_KEY_FILE" in text
    assert "give two that belong together" in text
    assert "Traceback" not in text


@either
def test_mtls_wants_a_certificate_of_the_clients_ca(serve: Serve, tmp_path: Path, ask: Ask) -> None:
    ours, foreign = LocalhostAuthority(), LocalhostAuthority()
    files = write(tmp_path / "tls", ours.issue("server"), ours.pem)
    server = serve(**files, TLS_CLIENT_CA_FILE=str(tmp_path / "tls" / "ca.crt"))
    ask(server, ours.pem, ours.issue("client"))
    with pytest.raises(REFUSED):
        ask(server, ours.pem)
    with pytest.raises(REFUSED):
        ask(server, ours.pem, foreign.issue("client"))


def test_a_plain_client_gets_nothing_from_a_tls_server(serve: Serve, tmp_path: Path) -> None:
    authority = LocalhostAuthority()
    server = serve(**write(tmp_path / "tls", authority.issue("server"), authority.pem))
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError):
        MemoryGraphServiceStub(channel).Health(Empty(), timeout=30)
