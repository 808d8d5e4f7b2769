"""Certificates and kubeconfigs of a control plane that lives for one run: what kubeadm makes, signed here."""

from __future__ import annotations

import ipaddress
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=1)


class Authority:
    """A certificate authority, whose files are `NAME.crt` and `NAME.key` in the folder it writes to."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = _key()
        self._name = _named(name)
        begun = self._begun(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.certificate = _write(folder, name, self._key, begun.sign(self._key, hashes.SHA256()))

    def _begun(self, subject: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        begun = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        dated = begun.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + LIFETIME)
        return dated.serial_number(x509.random_serial_number())

    def issue(self, file: str, user: str, group: str = "", names: tuple[str, ...] = ()) -> Path:
        """A certificate for a user, or for a server of these names and of 127.0.0.1, and its key beside it."""
        key = _key()
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        known = x509.SubjectAlternativeName([*(x509.DNSName(name) for name in names), loopback])
        begun = self._begun(_named(user, group), key).add_extension(known, critical=False)
        return _write(self._folder, file, key, begun.sign(self._key, hashes.SHA256()))

    def kubeconfig(self, server: str, user: str, group: str = "") -> Path:
        """A kubeconfig with a client certificate of that user in it."""
        certificate = self.issue(f"client-{user.replace(':', '-')}", user, group)
        identity = {"client-certificate-data": _encoded(certificate),
                    "client-key-data": _encoded(certificate.with_suffix(".key"))}  # fmt: skip
        cluster = {"server": server, "certificate-authority-data": _encoded(self.certificate)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "newest", "cluster": cluster}],
            "users": [{"name": user, "user": identity}],
            "contexts": [{"name": "newest", "context": {"cluster": "newest", "user": user}}],
            "current-context": "newest",
        }
        file = certificate.with_suffix(".kubeconfig")
        file.touch(mode=0o600)
        file.write_text(json.dumps(content))
        return file


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Files of a private and a public key, to sign tokens of service accounts with."""
    key = _key()
    public = folder / f"{name}.pub"
    shown = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, shown))
    return _write_key(folder / f"{name}.key", key), public


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _named(name: str, group: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    return x509.Name(parts + ([x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []))


def _write(folder: Path, name: str, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> Path:
    _write_key(folder / f"{name}.key", key)
    file = folder / f"{name}.crt"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return file


def _write_key(file: Path, key: rsa.RSAPrivateKey) -> Path:
    file.touch(mode=0o600)
    plain = serialization.NoEncryption()
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return file


def _encoded(file: Path) -> str:
    return b64encode(file.read_bytes()).decode()
