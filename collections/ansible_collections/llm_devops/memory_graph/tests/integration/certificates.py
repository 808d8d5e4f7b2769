# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Certificates of a certificate authority of the tests, and requests for certificates of the cluster's."""

from __future__ import annotations

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def pem(key):
    no_password = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)


class LoopbackAuthority:
    """A certificate authority for servers that the tests run on loopback."""

    def __init__(self):
        self._authority = trustme.CA()
        self.certificate = self._authority.cert_pem.bytes()

    def chain(self, folder):
        """Return a file with a server's certificate and key, for ``localhost`` and ``127.0.0.1``."""
        key, certificate = self._issue("localhost")
        file = folder / "server.pem"
        file.touch(mode=0o600)
        file.write_bytes(certificate + key)
        return file

    def issue_client(self, user):
        """Return key and certificate of a client that no cluster knows."""
        return self._issue(user)

    def _issue(self, common_name):
        leaf = self._authority.issue_cert("localhost", "127.0.0.1", common_name=common_name)
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
        return pem(key), leaf.cert_chain_pems[0].bytes()  # Kafka reads keys as PKCS #8 alone


def signing_request(user, group):
    """Return a user's key, and the request for a certificate, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, user), x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject)).sign(key, hashes.SHA256())
    return pem(key), request.public_bytes(serialization.Encoding.PEM)
