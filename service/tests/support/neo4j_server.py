"""A real Neo4j for tests: one Community server as a local process, started with the first test that asks for it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from neo4j import GraphDatabase

from support.authority import LocalhostAuthority
from support.maven import SHORT_LIVED, JarSet, jars, program
from support.processes import Server, free_port

NEO4J = JarSet(
    "neo4j",
    ("org.neo4j:neo4j:5.26.30",),
    "b39dcc8742460b796812b2494bde19cb6474ab73862fe3ac9af878e5012afeb8",
)
USERNAME = "neo4j"
PASSWORD = "only-for-tests"
_START_LIMIT_S = 180
_FOLDERS = ("conf", "data", "logs", "run", "plugins", "import", "lib", "certificates")
_CONFIGURATION = """
server.default_listen_address=127.0.0.1
server.default_advertised_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{port}
server.bolt.advertised_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
server.memory.pagecache.size=256m
dbms.usage_report.enabled=false
db.tx_log.rotation.retention_policy=keep_none
server.bolt.tls_level=OPTIONAL
dbms.ssl.policy.bolt.enabled=true
dbms.ssl.policy.bolt.base_directory=certificates
dbms.ssl.policy.bolt.client_auth=NONE
"""


class Neo4jServer:
    """A server and its data, which outlive `kill` and are there again after `start`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self._libs = jars(NEO4J)
        for folder in _FOLDERS:
            (home / folder).mkdir(parents=True, exist_ok=True)
        (home / "conf" / "neo4j.conf").write_text(_CONFIGURATION.format(port=self.port))
        authority = LocalhostAuthority()
        issued = authority.issue("localhost")
        for name, content in (("ca.crt", authority.pem), ("public.crt", issued.cert), ("private.key", issued.key)):
            (home / "certificates" / name).write_bytes(content)
        self._admin("dbms", "set-initial-password", PASSWORD)
        self._server: Server | None = None

    @property
    def uri(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The CA certificate of the server at bolt+s://localhost."""
        return self.home / "certificates" / "ca.crt"

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.process.pid

    def start(self) -> None:
        """Returns once it answers. For the main thread: the server ends with the thread that starts it."""
        self._server = Server(
            [program("java"), *SHORT_LIVED, "-Xms512m", "-Xmx1g", "--add-opens=java.base/java.nio=ALL-UNNAMED",
             "--add-opens=java.base/java.lang=ALL-UNNAMED", "-cp", f"{self._libs}/*",
             "org.neo4j.server.CommunityEntryPoint", f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}",
             "--console-mode"],
            self.home / "logs" / "console.log", ready="Started.", env=self._environment(), seconds=_START_LIMIT_S,
        )  # fmt: skip

    def kill(self) -> None:
        """kill -9."""
        assert self._server is not None
        self._server.kill()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def _admin(self, *arguments: str) -> None:
        subprocess.run(
            [program("java"), *SHORT_LIVED, "-Xmx256m", "-cp", f"{self._libs}/*",
             "org.neo4j.server.startup.Neo4jAdminCommand", *arguments],
            env=self._environment(), capture_output=True, timeout=_START_LIMIT_S, check=True,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return os.environ | {"NEO4J_HOME": str(self.home), "NEO4J_CONF": str(self.home / "conf")}


def settings(uri: str) -> dict[str, str]:
    """Return the settings of a store for this server."""
    return {"uri": uri, "username": USERNAME, "password": PASSWORD}


def run_statement(uri: str, statement: str, **values: object) -> list[list[Any]]:
    """Run a statement and return its rows."""
    with GraphDatabase.driver(uri, auth=(USERNAME, PASSWORD)) as driver, driver.session() as session:
        return session.run(statement, values).values()


def wipe(uri: str) -> None:
    """Delete every node but the schema version."""
    run_statement(uri, "MATCH (n) WHERE NOT n:SchemaVersion CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS")
