# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Brings a Neo4j to the schema of the memory graph, as the service does when it starts; what goes wrong becomes a
sentence."""

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

__all__ = ["Database", "Login", "Standing", "connected", "migrate", "neo4j", "standing"]
INDEXES_S = 300
"""Seconds that new indexes may take."""
_VERSION = """
OPTIONAL MATCH (v:SchemaVersion {name: $name})
RETURN v.version AS version, EXISTS { MATCH (other) WHERE NOT other:SchemaVersion } AS used,
  EXISTS { MATCH (:Move) } AS moving
"""
_RAISE = """
MERGE (v:SchemaVersion {name: $name})
SET v.version = CASE WHEN coalesce(v.version, 0) < $version THEN $version ELSE v.version END, v.migrated_at = datetime()
"""


@dataclass(frozen=True)
class Login:
    """Who logs in. ``ca``: PEM certificates of the server's CA; ``named``: whether it must be called as they say."""

    username: str
    password: str
    ca: str | None = None
    named: bool = True


@dataclass(frozen=True)
class Database:
    """Where it is and how it is called."""

    uri: str
    name: str


@dataclass(frozen=True)
class Standing:
    """The schema a database has, and the newest."""

    version: int
    newest: int = len(MIGRATIONS)

    @property
    def pending(self) -> list[str]:
        """The statements that bring it to the newest."""
        return [statement for script in MIGRATIONS[self.version :] for statement in script]


@contextmanager
def connected(database: Database, login: Login, seconds: float) -> Iterator[Any]:
    """A session with the database, until the end of the block. ``seconds``: to connect, to log in, and for which a
    managed transaction is tried again.

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


def standing(session: Any) -> Standing:
    """The schema the database has.

    Raises:
        ClusterError: when it is another application's, of a newer version, or being moved into.
    """
    version, used, moving = _look(session)
    if not version and used:
        version, used, moving = _look(session)  # another process may have finished between the halves of a look
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
    return Standing(version)


def migrate(session: Any, now: Standing) -> None:
    """Applies what is pending. Each statement can be repeated: whoever is stopped half way begins again, and several
    may migrate at once. One of those that wait for each other's locks is sent away by the server, and tries again."""
    for version in range(now.version, now.newest):
        for statement in MIGRATIONS[version]:
            _make(session, statement)
        session.execute_write(_told, "CALL db.awaitIndexes($seconds)", seconds=INDEXES_S)
        session.execute_write(_told, _RAISE, name=NAME, version=version + 1)


def _make(session: Any, statement: str) -> None:
    """IF NOT EXISTS looks before it makes: what another process made in between is found by the second look."""
    try:
        session.execute_write(_told, statement)
    except ClientError as error:
        if not (error.code or "").endswith("AlreadyExists"):
            raise
        session.execute_write(_told, statement)


def _told(transaction: Any, statement: str, **values: Any) -> None:
    transaction.run(statement, values).consume()


def _look(session: Any) -> tuple[int, bool, bool]:
    """The schema, whether anything else is there, and whether a graph is being moved in."""
    found = session.run(_VERSION, name=NAME).single(strict=True)
    return found["version"] or 0, found["used"], found["moving"]


def _plain(uri: str) -> str:
    """The URI without its ``+s``: the driver takes a CA only beside a URI that says nothing of TLS."""
    return uri.replace("+ssc://", "://").replace("+s://", "://")


def _trust(login: Login) -> dict[str, Any]:
    if not login.ca:
        return {}
    try:
        context = ssl.create_default_context(cadata=login.ca)
    except ssl.SSLError as error:
        raise ClusterError(f"the CA of the database is no PEM certificate ({error.reason})", "give one") from error
    context.check_hostname = login.named
    return {"ssl_context": context}


def _explained(error: Exception, database: Database, login: Login) -> ClusterError:
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
