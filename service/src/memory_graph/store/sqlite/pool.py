"""Readers on threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Concatenate, ParamSpec, TypeVar

from memory_graph.model.errors import StoreUnavailable
from memory_graph.store.protocol import Codec
from memory_graph.store.sqlite.connection import failures, open_reader
from memory_graph.store.sqlite.read import SqliteReader
from memory_graph.store.sqlite.rows import SqliteRows

_P = ParamSpec("_P")
_T = TypeVar("_T")


class ReaderPool:
    """As many read-only connections as threads: a read that has a thread has a connection; and one for the caller's
    own thread.

    Going to a thread and back costs about 100 us of processor time, a point read 25 us (store_bench.py), so what reads
    a handful of rows by key is better done in place.
    """

    def __init__(self, path: Path, codec: Codec, size: int) -> None:
        self._path = path
        self._readers: SimpleQueue[SqliteReader] = SimpleQueue()
        self._size = size
        for _ in range(size):
            self._readers.put(SqliteReader(open_reader(path), SqliteRows(codec)))
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="store-reader")
        self._inline = SqliteReader(open_reader(path), SqliteRows(codec))
        self._closed = False

    async def run(self, read: Callable[Concatenate[SqliteReader, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Calls a method of `SqliteReader` on a thread. Raises `StoreUnavailable` and `StoreCorrupt` for failures of
        the file."""
        self._refuse_if_closed()
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._run, lambda reader: read(reader, *args, **kwargs)
        )

    def run_here(self, read: Callable[Concatenate[SqliteReader, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Calls a method of `SqliteReader` that reads a handful of rows at once, on the event loop's thread.
        Raises as `run` does."""
        self._refuse_if_closed()
        with failures(self._path):
            return read(self._inline, *args, **kwargs)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed; ask a running service")

    def _run(self, read: Callable[[SqliteReader], _T]) -> _T:
        reader = self._readers.get()
        try:
            with failures(self._path):
                return read(reader)
        finally:
            self._readers.put(reader)

    def close(self) -> None:
        """Waits for running reads and lets go of the file."""
        self._closed = True
        self._threads.shutdown()
        self._inline.close()
        for _ in range(self._size):
            self._readers.get().close()
