# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The TLS settings of a connection to an API server: the CAs it trusts, and its client certificate."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from .._errors import ConfigError
from ._kubeconfig import ClusterConnection


def client_context(access: ClusterConnection, cert: bytes | None, key: bytes | None) -> ssl.SSLContext:
    """Return the settings for the server of ``access``, with a client certificate where there is one.

    :raises ConfigError: when a certificate or key cannot be used.
    """
    try:
        context = ssl.create_default_context(cadata=access.ca.decode() if access.ca else None)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ConfigError(f"the CA of {access.source} is no PEM certificate: {error}") from error
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13 refuses cluster CAs that kubectl accepts
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        _load_chain(context, cert, key, access.source)
    return context


def _load_chain(context: ssl.SSLContext, cert: bytes, key: bytes | None, source: str) -> None:
    """Load a certificate and its key through a private file that lives for one call: ``ssl`` reads only files."""
    pem = cert + b"\n" + (key or b"")
    if b"PRIVATE KEY-----" not in pem:
        raise ConfigError(
            f"the client certificate of {source} has no key", "give it with client_key or client-key-data"
        )
    if b"ENCRYPTED" in pem:
        raise ConfigError(
            f"the key of the client certificate of {source} is encrypted", "decrypt it first: openssl pkey -in …"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "client.pem"
        path.touch(mode=0o600)
        path.write_bytes(pem)
        try:
            context.load_cert_chain(path)
        except ssl.SSLError as error:
            mismatch = "MISMATCH" in str(error)
            reason = "its key belongs to another certificate" if mismatch else f"it is no PEM ({error})"
            raise ConfigError(f"the client certificate of {source} cannot be used: {reason}") from error
