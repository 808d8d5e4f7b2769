"""TLS and mTLS from files that are read again when they change."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

import grpc
import structlog

_log = structlog.get_logger(__name__)


class Certificates:
    """The server's certificate files, and whether they have changed since they were last read."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._files = [path for path in (key, cert, client_ca) if path is not None]
        self._seen = self._stamps()

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files: each handshake uses what they hold then.

        Raises:
            OSError: when a file cannot be read; `ssl.SSLError` when they are no certificate and its key, which gRPC
                would only write to its log.
        """
        key, cert = self._files[:2]
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
        # The stubs forget that a fetcher answers None for "unchanged", as grpc's documentation says.
        changed = cast("Callable[[], grpc.ServerCertificateConfiguration]", self._changed)
        return grpc.dynamic_ssl_server_credentials(
            self._read(), changed, require_client_authentication=len(self._files) > 2
        )

    def _read(self) -> grpc.ServerCertificateConfiguration:
        key, cert, *ca = [path.read_bytes() for path in self._files]
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=ca[0] if ca else None)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return None
            configuration = self._read()
        except OSError as error:
            # A Secret volume swaps its files; half a swap is seen again at the next handshake.
            _log.warning("TLS files cannot be read; the ones read before stay in use", file=error.filename)
            return None
        self._seen = stamps
        _log.info("TLS files read again", files=[str(path) for path in self._files])
        return configuration

    def _stamps(self) -> list[tuple[int, int, int]]:
        return [(status.st_mtime_ns, status.st_ino, status.st_size) for status in (path.stat() for path in self._files)]
