"""Certificates and kubeconfigs of a control plane that lives for one run, like those that kubeadm makes."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


class ClusterAuthority:
    """A certificate authority, whose files are `NAME.crt` and `NAME.key` in the folder it writes to."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.certificate = _write(folder / f"{name}.crt", self._authority.cert_pem, self._authority.private_key_pem)

    def issue(self, file: str, user: str, group: str = "", names: tuple[str, ...] = ()) -> Path:
        """Return a certificate of a user, or of a server with these names and 127.0.0.1; its key is beside it."""
        leaf = self._authority.issue_cert(*names, "127.0.0.1", common_name=user, organization_name=group or None)
        return _write(self._folder / f"{file}.crt", leaf.cert_chain_pems[0], leaf.private_key_pem)

    def kubeconfig(self, server: str, user: str, group: str = "") -> Path:
        """Return a kubeconfig with a client certificate of that user."""
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
    """Return the files of a private and a public key, with which tokens of service accounts are signed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.touch(mode=0o600)
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    subject = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, subject))
    return private, public


def _write(file: Path, certificate: trustme.Blob, key: trustme.Blob) -> Path:
    key_file = file.with_suffix(".key")
    key_file.touch(mode=0o600)
    key.write_to_path(key_file)
    certificate.write_to_path(file)
    return file


def _encoded(file: Path) -> str:
    return b64encode(file.read_bytes()).decode()
