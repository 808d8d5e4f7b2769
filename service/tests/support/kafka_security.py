"""Listeners of a test's broker that ask who is there, and one that also shows a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from support.authority import LocalhostAuthority
from support.processes import free_ports

USER, PASSWORD = "memory-graph", 'no one\'s "guess"'
_LISTENERS = """
listeners={listeners},SASL_PLAINTEXT://localhost:{plain},SASL_SSL://localhost:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"""
_JAAS = (
    "listener.name.{listener}.{mechanism}.sasl.jaas.config="
    "org.apache.kafka.common.security.{module} required{options};\n"
)


class Security:
    """SASL_PLAINTEXT and SASL_SSL on ports of their own, for USER by SCRAM-SHA-512 and by PLAIN."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        plain, tls = free_ports(2)
        self.sasl_plaintext, self.sasl_ssl = f"localhost:{plain}", f"localhost:{tls}"
        self._ports = {"plain": plain, "tls": tls}
        authority = LocalhostAuthority()
        issued = authority.issue("broker")
        self.ca = home / "ca.pem"
        self.ca.write_bytes(authority.pem)
        self._keystore = home / "broker.pem"
        self._keystore.write_bytes(issued.key + issued.cert)

    @property
    def credentials(self) -> Sequence[str]:
        """Arguments of the storage tool that add the user."""
        return "--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"

    def configuration(self, listeners: str) -> str:
        """Return the security settings of a broker with these listeners."""
        text = _LISTENERS.format(listeners=listeners, keystore=self._keystore, **self._ports)
        password = PASSWORD.replace('"', '\\\\"')
        for listener in ("sasl_plaintext", "sasl_ssl"):
            text += _JAAS.format(
                listener=listener, mechanism="scram-sha-512", module="scram.ScramLoginModule", options=""
            )
            options = f' user_{USER}="{password}"'
            text += _JAAS.format(listener=listener, mechanism="plain", module="plain.PlainLoginModule", options=options)
        return text
