# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the tests' own, and requests for certificates of the cluster's."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def named(name, organization=None):
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    parts += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name(parts)


def pem(key):
    no_password = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)


class Authority:
    """Signs certificates for servers the tests run on loopback."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = named("CA of a test")
        basic = x509.BasicConstraints(ca=True, path_length=None)
        built = self._begun(self._name, self._key.public_key()).add_extension(basic, critical=True)
        self.certificate = self._signed(built)

    def _begun(self, subject, public_key):
        now = datetime.now(UTC)
        begun = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(public_key)
        dated = begun.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=6))
        return dated.serial_number(x509.random_serial_number())

    def _signed(self, builder):
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def chain(self, folder):
        """File with a server's certificate and key, for ``localhost`` and ``127.0.0.1``."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        built = self._begun(named("localhost"), key.public_key())
        file = folder / "server.pem"
        file.touch(mode=0o600)
        file.write_bytes(
            self._signed(built.add_extension(x509.SubjectAlternativeName(names), critical=False)) + pem(key)
        )
        return file

    def issued(self, user):
        """Key and certificate of a client no cluster knows."""
        key = ec.generate_private_key(ec.SECP256R1())
        return pem(key), self._signed(self._begun(named(user), key.public_key()))


def signing_request(user, group):
    """A user's key, and the request for a certificate, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(named(user, group)).sign(key, hashes.SHA256())
    return pem(key), request.public_bytes(serialization.Encoding.PEM)
