"""Certificates of servers and clients for tests."""

from __future__ import annotations

from dataclasses import dataclass

import trustme
from cryptography.hazmat.primitives import serialization


@dataclass
class Issued:
    cert: bytes
    key: bytes


class LocalhostAuthority:
    """A certificate authority whose certificates are for `localhost`."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.pem = self._authority.cert_pem.bytes()

    def issue(self, name: str) -> Issued:
        leaf = self._authority.issue_cert("localhost", common_name=name)
        return Issued(leaf.cert_chain_pems[0].bytes(), _pkcs8(leaf.private_key_pem.bytes()))


def _pkcs8(pem: bytes) -> bytes:
    """Return a key in the only format that Kafka reads."""
    key = serialization.load_pem_private_key(pem, None)
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
