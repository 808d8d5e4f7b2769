"""TLS and mTLS for gRPC and REST, from files that are read again when they change."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import grpc
import msgspec
import structlog

_log = structlog.get_logger(__name__)
_Stamps = list[tuple[int, int, int]]


class CertificateError(Exception):
    """Certificate files that cannot be used; the text says which and the way out."""


class _LoadedFiles(msgspec.Struct, frozen=True):
    """The files of one reading. generation: the number of the reading."""

    generation: int
    stamps: _Stamps
    key: bytes
    cert: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


class CertificateFiles:
    """A server's certificate, its key and the CAs of its clients, as PEM files. Every handshake uses their content at
    that time, or the last usable content. Thread-safe.

    Raises:
        CertificateError: if they cannot be used from the start.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._lock = threading.Lock()
        self._refused: _Stamps | None = None
        self._current = self._read(0)

    def credentials(self) -> grpc.ServerCredentials:
        """Return the credentials of a gRPC server."""
        served_generation = self._current.generation

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal served_generation
            current = self._refreshed()
            if current.generation == served_generation:
                return None
            served_generation = current.generation
            return _configuration(current)

        # The stubs forget that a fetcher answers None for "unchanged", as grpc's documentation says.
        fetcher = cast("Callable[[], grpc.ServerCertificateConfiguration]", changed)
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._current), fetcher, require_client_authentication=self._client_ca is not None
        )

    def ssl_context(self) -> ssl.SSLContext:
        """Return the context of any other server. It passes each handshake to the context of the current files, so CAs
        that were taken out of them are no longer trusted."""

        def hand_on(handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            handshake.context = self._refreshed().context

        context = self._context()
        context.sni_callback = cast("Callable[..., Any]", hand_on)
        return context

    def _refreshed(self) -> _LoadedFiles:
        with self._lock:
            try:
                stamps = self._stamps()
                if stamps not in (self._current.stamps, self._refused):
                    self._current = self._read(self._current.generation + 1)
                    _log.info("TLS files read again", files=[str(path) for path in self._paths()])
            except OSError as error:
                # A Secret volume swaps its files; half a swap is seen again at the next handshake.
                _log.warning("TLS files cannot be read; those read before stay in use", file=error.filename)
            except CertificateError as error:
                self._refused = stamps
                _log.error("TLS files cannot be used; those read before stay in use", reason=str(error))
            return self._current

    def _read(self, generation: int) -> _LoadedFiles:
        """Read all files between two changes of any of them."""
        while True:
            stamps = self._stamps()
            cert, key = self._cert.read_bytes(), self._key.read_bytes()
            client_ca = self._client_ca.read_bytes() if self._client_ca else None
            try:
                context = self._context()
            except CertificateError:
                if stamps == self._stamps():
                    raise
            else:
                if stamps == self._stamps():
                    return _LoadedFiles(generation, stamps, key, cert, client_ca, context)

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(
                self._cert, self._key, password=lambda: ""
            )  # a key with one is refused, not asked for
        except ssl.SSLError as error:
            raise CertificateError(
                f"TLS_CERT_FILE {self._cert} and TLS_KEY_FILE {self._key} are not a certificate in PEM form and its key"
                f" without a password ({error.reason or error.strerror}); give two that belong together"
            ) from None
        if self._client_ca is None:
            return context
        try:
            context.load_verify_locations(self._client_ca)
        except ssl.SSLError as error:
            raise CertificateError(
                f"TLS_CLIENT_CA_FILE {self._client_ca} holds no certificate in PEM form"
                f" ({error.reason or error.strerror}); give the CAs of the clients"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_TICKET  # a session that is resumed would not show its certificate again
        context.num_tickets = 0
        return context

    def _paths(self) -> list[Path]:
        return [path for path in (self._cert, self._key, self._client_ca) if path is not None]

    def _stamps(self) -> _Stamps:
        return [
            (status.st_mtime_ns, status.st_ino, status.st_size) for status in (path.stat() for path in self._paths())
        ]


def _configuration(read: _LoadedFiles) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(read.key, read.cert)], root_certificates=read.client_ca)
