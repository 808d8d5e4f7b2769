"""The connection to the database: transactions by access mode, and what its failures mean.

A transaction is never cancelled half way: a caller that goes away leaves it to end by itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from neo4j import (
    READ_ACCESS,
    WRITE_ACCESS,
    AsyncDriver,
    AsyncGraphDatabase,
    AsyncManagedTransaction,
    AsyncSession,
    SummaryCounters,
)
from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConnectionPoolError,
    DatabaseError,
    Forbidden,
    IncompleteCommit,
    ServiceUnavailable,
    SessionExpired,
    TransientError,
)

from memory_graph.model.errors import StoreUnavailable
from memory_graph.store.neo4j.auth import UNAUTHORIZED, Password, PasswordAuth

RETRY_S = 15.0
"""How long a transaction is tried again after what passes: a deadlock, a new leader, a restart."""
_FIRST_RETRY_S = 0.05
"""Then twice as long each time. A deadlock is over at once, so it should not cost the second the driver would wait."""
_CONNECT_S = 5.0
_ACQUIRE_S = 10.0

_CLOSED = "the store is closed; ask a running service"

T = TypeVar("T")
Work = Callable[[AsyncManagedTransaction], Awaitable[T]]

_NO_DATABASE = "Neo.ClientError.Database.DatabaseNotFound"
_REFUSES_USER = "Neo.ClientError.Security."
_ENDED = ("Neo.ClientError.Transaction.", "Neo.ClientError.Cluster.", "Neo.ClientError.Database.")
"""What ends a transaction though nothing is wrong with it: a time limit, an operator, a shutdown, a new leader, a
restored backup. The server counts it as the client's mistake."""
_PASSING = (ConnectionPoolError, DatabaseError, ServiceUnavailable, SessionExpired, TransientError, OSError)
"""What the outside does to a connection. Any other error of the driver is a mistake of ours, and is not dressed up."""


async def ask(tx: AsyncManagedTransaction, statement: str, **values: Any) -> list[list[Any]]:  # noqa: ANN401
    """The rows of a statement, which is composed of constants of this package."""
    result = await tx.run(statement, values)
    return await result.values()


async def ask_at_once(tx: AsyncManagedTransaction, statement: str, **values: Any) -> list[list[Any]]:  # noqa: ANN401
    """The rows of a statement that returns them as one list. A record on its own costs the driver some 50 us."""
    ((rows,),) = await ask(tx, statement, **values)
    of_list: list[list[Any]] = rows
    return of_list


async def do(tx: AsyncManagedTransaction, statement: str, **values: Any) -> SummaryCounters:  # noqa: ANN401
    """Run a statement; return the counters of its changes."""
    result = await tx.run(statement, values)
    return (await result.consume()).counters


class CommitUnknown(StoreUnavailable):
    """The connection broke while a commit was on its way: the database may have kept the writes, or not."""


class Neo4jConnection:
    """One database of a server or cluster.

    Reads see what this process has written, on replicas too: all its transactions share their bookmarks.
    """

    def __init__(
        self, uri: str, *, username: str | None, password: Password, database: str, max_connections: int
    ) -> None:
        self._uri = uri
        self._name = database
        self._auth = PasswordAuth(username, password) if username else None
        self._driver: AsyncDriver = AsyncGraphDatabase.driver(
            uri,
            auth=self._auth,
            max_connection_pool_size=max_connections,
            connection_timeout=_CONNECT_S,
            connection_acquisition_timeout=_ACQUIRE_S,
            max_transaction_retry_time=RETRY_S,
            initial_retry_delay=_FIRST_RETRY_S,
            notifications_min_severity="OFF",
            user_agent="memory-graph",
        )
        self._bookmarks = AsyncGraphDatabase.bookmark_manager()
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def read(self, work: Work[T]) -> T:
        """Return the result of `work`, read where reads are served. Raises `StoreUnavailable`."""
        return await self._run(self._managed(READ_ACCESS, work))

    async def read_newest(self, work: Work[T]) -> T:
        """The same, read where writes are served: it sees what any process has committed."""
        return await self._run(self._managed(WRITE_ACCESS, work))

    async def write(self, work: Work[T]) -> T:
        """Commit `work` and return its result. `work` runs again after what passes. Raises `StoreUnavailable`, and
        `CommitUnknown` where that cannot be told."""
        return await self._run(self._managed(WRITE_ACCESS, work))

    async def in_session(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Return the result of `work`: statements outside a managed transaction, each once."""
        return await self._run(self._bare(work))

    async def probe(self, statement: str, **values: Any) -> None:  # noqa: ANN401
        """Runs a statement where writes are served. Unlike all else it ends with its caller, who sets a time limit: a
        connection that is silent is given up, and the next probe gets another."""
        if self._closed:
            raise StoreUnavailable(_CLOSED)
        async with self._session(WRITE_ACCESS) as session:
            await (await session.run(statement, values)).consume()

    async def close(self) -> None:
        """Waits for what is running."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running)
        await self._driver.close()

    async def _managed(self, mode: str, work: Work[T]) -> T:
        async with self._session(mode) as session:
            return await (session.execute_read(work) if mode == READ_ACCESS else session.execute_write(work))

    async def _bare(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        async with self._session(WRITE_ACCESS) as session:
            return await work(session)

    @asynccontextmanager
    async def _session(self, mode: str) -> AsyncIterator[AsyncSession]:
        try:
            async with self._driver.session(
                database=self._name, default_access_mode=mode, bookmark_manager=self._bookmarks
            ) as session:
                yield session
        except IncompleteCommit as error:
            raise CommitUnknown(
                f"{self._uri} went away during a commit ({error}), which it may have kept; read before you repeat it"
            ) from error
        except ClientError as error:
            reason = self._of_client_error(error)
            if reason is None:
                raise
            raise StoreUnavailable(reason) from error
        except _PASSING as error:
            untrusted = _tls_failure(error)
            if untrusted is not None:
                raise StoreUnavailable(
                    f"{self._uri} fails the TLS handshake ({untrusted}); name the file of its authority in"
                    " SSL_CERT_FILE, and the host as its certificate does"
                ) from error
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise StoreUnavailable(
                f"{self._uri} cannot be used now ({reason}); retry, and check the database if this goes on"
            ) from error

    def _of_client_error(self, error: ClientError) -> str | None:
        """The meaning of an error that no statement of ours is at fault for; None where one is."""
        code = error.code or ""
        if code == UNAUTHORIZED and self._auth is not None:
            self._auth.forget()  # it may have changed; who tries again does so with what it is now
        if code == _NO_DATABASE:
            return f"{self._uri} has no database {self._name}; create it, or set NEO4J_DATABASE"
        if isinstance(error, AuthError | Forbidden) or code.startswith(_REFUSES_USER):
            return (
                f"{self._uri} refuses this user ({error.message}); set NEO4J_USERNAME and NEO4J_PASSWORD to one that"
                " may read and write"
            )
        if code.startswith(_ENDED):
            return (
                f"{self._uri} ended a transaction ({error.message}); retry, and check its time limits"
                " (db.transaction.timeout) and its load if this goes on"
            )
        return None

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise StoreUnavailable(_CLOSED)
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(consume_error)
        return await asyncio.shield(task)


def consume_error(task: asyncio.Task[Any]) -> None:
    """Take note of the error of a task whose caller may have gone."""
    if not task.cancelled():
        task.exception()


def _tls_failure(error: BaseException | None) -> str | None:
    """The reason that TLS gives, where that is the cause."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return getattr(error, "verify_message", None) or error.reason or str(error)
        error = error.__cause__ or error.__context__
    return None
