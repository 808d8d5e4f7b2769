"""Opening the file, owning it alone, and what its failures mean."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from memory_graph.model.errors import GraphError, StoreCorrupt, StoreUnavailable

_BUSY_MS = 5_000
_CACHE_KIB = 64 * 1024
_READER_CACHE_KIB = 16 * 1024
_CHECKPOINT_PAGES = 4_000
_JOURNAL_BYTES = 64 * 1024 * 1024


class FileLock:
    """Says to other processes that the file is taken. It ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        """Raises `StoreUnavailable` when another store holds the file, or it cannot be made."""
        self._path = path.with_name(path.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"{path} cannot be opened: {error.strerror}; make its folder writable, or set DB_PATH"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise StoreUnavailable(f"{self._path} cannot be locked: {error.strerror}") from error
            raise StoreUnavailable(
                f"{path} is in use by another process; the embedded store has one owner: stop that process, "
                "or give this one a DB_PATH of its own"
            ) from error

    def release(self) -> None:
        """Lets go. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_writer(path: Path) -> apsw.Connection:
    """The one connection that writes; what it commits is on the disk (WAL, synchronous=FULL)."""
    connection = apsw.Connection(
        str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, statementcachesize=400
    )
    connection.set_busy_timeout(_BUSY_MS)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("cache_size", -_CACHE_KIB)
    connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)
    connection.pragma("journal_size_limit", _JOURNAL_BYTES)
    connection.pragma("temp_store", "memory")
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """A connection that can only read; it sees what is committed."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(_BUSY_MS)
    connection.pragma("query_only", True)
    connection.pragma("cache_size", -_READER_CACHE_KIB)
    return connection


_PASSING = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)
"""What the outside does to a file. Any other error of SQLite is a mistake of ours, and is not dressed up."""


@contextmanager
def failures(path: Path) -> Iterator[None]:
    """Turns what SQLite reports into `StoreUnavailable` or `StoreCorrupt` with the way out."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise corrupt(path, error) from error
    except _PASSING as error:
        raise unavailable(path, error) from error


def corrupt(path: Path, error: Exception) -> GraphError:
    """The error for a damaged file."""
    return StoreCorrupt(
        f"{path} is damaged ({error}); stop the service, restore the file from a backup, and start it again"
    )


def unavailable(path: Path, error: Exception) -> GraphError:
    """The error for a file that cannot be used now."""
    if isinstance(error, apsw.FullError):
        return StoreUnavailable(f"{path} cannot grow: the disk is full; free or add space, then retry")
    return StoreUnavailable(f"{path} cannot be used now ({error}); retry, and check its volume if this goes on")
