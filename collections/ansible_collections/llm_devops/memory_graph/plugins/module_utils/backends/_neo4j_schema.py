# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The schema of the memory graph in a Neo4j, migrated as the service does when it starts; errors become sentences."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._errors import ClusterError
from ._neo4j_migrations import MIGRATIONS, NAME

try:
    import neo4j
    from neo4j.exceptions import (
        AuthError,
        ClientError,
        ConfigurationError,
        DriverError,
        Forbidden,
        Neo4jError,
        NotALeader,
        ServiceUnavailable,
    )
except ImportError:  # the module names the missing library
    neo4j = None  # type: ignore[assignment,unused-ignore]

__all__ = ["Neo4jDatabase", "Neo4jLogin", "SchemaStatus", "migrate", "neo4j", "open_session", "schema_status"]
INDEX_TIMEOUT_S = 300
"""Seconds that new indexes may take."""
_VERSION = """
OPTIONAL MATCH (v:SchemaVersion {name: $name})
RETURN v.version AS version, EXISTS { MATCH (other) WHERE NOT other:SchemaVersion } AS used,
  EXISTS { MATCH (:Move) } AS moving
"""
_SET_VERSION = """
MERGE (v:SchemaVersion {name: $name})
SET v.version = CASE WHEN coalesce(v.version, 0) < $version THEN $version ELSE v.version END, v.migrated_at = datetime()
"""


@dataclass(frozen=True)
class Neo4jLogin:
    """Credentials for a Neo4j. ``ca``: PEM certificates of its CA; ``verify_host``: whether its name must match."""

    username: str
    password: str
    ca: str | None = None
    verify_host: bool = True


@dataclass(frozen=True)
class Neo4jDatabase:
    """The address and the name of a database."""

    uri: str
    name: str


@dataclass(frozen=True)
class SchemaStatus:
    """The schema version of a database, and the newest."""

    version: int
    newest: int = len(MIGRATIONS)

    @property
    def pending(self) -> list[str]:
        """The statements that migrate it to the newest."""
        return [statement for script in MIGRATIONS[self.version :] for statement in script]


@contextmanager
def open_session(database: Neo4jDatabase, login: Neo4jLogin, seconds: float) -> Iterator[Any]:
    """Open a session with the database until the end of the block. ``seconds`` limit connecting, logging in, and the
    retries of a managed transaction.

    Raises:
        ClusterError: for every error of the driver in the block too.
    """
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)  # what it tries again is not for standard error
    try:
        with (
            neo4j.GraphDatabase.driver(
                _plain(database.uri) if login.ca else database.uri, auth=(login.username, login.password),
                connection_timeout=seconds, connection_acquisition_timeout=seconds,
                max_transaction_retry_time=seconds, notifications_min_severity="OFF", user_agent="memory-graph",
                **_trust(login),
            ) as driver,
            driver.session(database=database.name) as session,
        ):  # fmt: skip
            yield session
    except (DriverError, Neo4jError, OSError, ValueError) as error:
        raise _explained(error, database, login) from error


def schema_status(session: Any) -> SchemaStatus:
    """Return the schema version of the database.

    Raises:
        ClusterError: when it is another application's, of a newer version, or being moved into.
    """
    version, used, moving = _read_schema(session)
    if not version and used:
        version, used, moving = _read_schema(session)  # another process may have finished between the halves of a look
    if moving:
        raise ClusterError(
            "a graph is being moved into the database",
            "wait for `memory-graph migrate`, or run it again if it was stopped",
        )
    if not version and used:
        raise ClusterError("the database holds the graph of another application", "name an empty one")
    if version > len(MIGRATIONS):
        raise ClusterError(
            f"the database has schema {version} and this collection knows up to {len(MIGRATIONS)}",
            "take the collection that belongs to the service which wrote it",
        )
    return SchemaStatus(version)


def migrate(session: Any, status: SchemaStatus) -> None:
    """Apply the pending migrations. Each statement can be repeated: a run that is stopped half way begins again, and
    several may migrate at once. The server aborts one of those that wait for each other's locks, which tries again."""
    for version in range(status.version, status.newest):
        for statement in MIGRATIONS[version]:
            _execute(session, statement)
        session.execute_write(_run, "CALL db.awaitIndexes($seconds)", seconds=INDEX_TIMEOUT_S)
        session.execute_write(_run, _SET_VERSION, name=NAME, version=version + 1)


def _execute(session: Any, statement: str) -> None:
    """Execute a statement. IF NOT EXISTS is no lock: where another process was faster, the second try sees it."""
    try:
        session.execute_write(_run, statement)
    except ClientError as error:
        if not (error.code or "").endswith("AlreadyExists"):
            raise
        session.execute_write(_run, statement)


def _run(transaction: Any, statement: str, **values: Any) -> None:
    transaction.run(statement, values).consume()


def _read_schema(session: Any) -> tuple[int, bool, bool]:
    """Return the schema version, whether there is anything else, and whether a graph is being moved in."""
    row = session.run(_VERSION, name=NAME).single(strict=True)
    return row["version"] or 0, row["used"], row["moving"]


def _plain(uri: str) -> str:
    """Return the URI without its ``+s``: the driver takes a CA only with a URI that says nothing of TLS."""
    return uri.replace("+ssc://", "://").replace("+s://", "://")


def _trust(login: Neo4jLogin) -> dict[str, Any]:
    if not login.ca:
        return {}
    try:
        context = ssl.create_default_context(cadata=login.ca)
    except ssl.SSLError as error:
        raise ClusterError(f"the CA of the database is no PEM certificate ({error.reason})", "give one") from error
    context.check_hostname = login.verify_host
    return {"ssl_context": context}


def _explained(error: Exception, database: Neo4jDatabase, login: Neo4jLogin) -> ClusterError:
    text = " ".join(str(error.message if isinstance(error, Neo4jError) else error).split())
    where = f"Neo4j at {database.uri}"
    code = str(getattr(error, "code", "") or "")
    if isinstance(error, AuthError) or code.startswith("Neo.ClientError.Security.AuthenticationRateLimit"):
        return ClusterError(f"{where} refuses user {login.username} ({text})", "check user name and password")
    if isinstance(error, Forbidden):
        return ClusterError(f"{where} does not let user {login.username} do this: {text}", "have the right granted")
    if isinstance(error, NotALeader):
        return ClusterError(f"{where} is a member that does not write", "name the cluster, with neo4j://")
    if code == "Neo.ClientError.Database.DatabaseNotFound":
        return ClusterError(f"{where} has no database {database.name}", "create it, or name another")
    if isinstance(error, ServiceUnavailable):
        return ClusterError(f"{where} does not answer: {text}", "check the address, and whether TLS is asked for (+s)")
    if isinstance(error, (ConfigurationError, ValueError)):
        return ClusterError(f"{database.uri} is no address of a Neo4j: {text}", "name one, as neo4j://db.example:7687")
    if isinstance(error, ClientError):
        return ClusterError(f"{where} refuses: {text}", "correct what it names")
    return ClusterError(f"{where}: {text or type(error).__name__}", "read its log")
