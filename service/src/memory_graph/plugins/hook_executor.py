"""Threads for plain (not async) hooks.

`concurrent.futures` is not used: it joins its threads when the interpreter ends, and a hook that never returns would
keep the service from stopping.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class HookExecutor:
    """A pool of at most `size` daemon threads, started on demand. A hook that never returns keeps its thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._lock = threading.Lock()

    async def run(self, call: Callable[[], object]) -> object:
        """Run `call` on a thread and return its result. Cancelling lets a running call go on and drops its outcome."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            if not future.cancelled():
                self._settle(loop, future, lambda: context.run(call))

        with self._lock:
            self._unfinished += 1
            short_of_threads = self._unfinished > len(self._threads)
        if short_of_threads and len(self._threads) < self._size:
            self._start_thread()
        self._jobs.put(job)
        return await future

    def close(self) -> None:
        """Let idle threads end, without waiting for busy ones."""
        for _ in self._threads:
            self._jobs.put(None)
        self._threads.clear()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"plugin-hook-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._lock:
                self._unfinished -= 1

    @staticmethod
    def _settle(loop: asyncio.AbstractEventLoop, future: asyncio.Future[object], call: Callable[[], object]) -> None:
        settle: Callable[[], None]
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the hook is awaited
            failure = error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
            settle = lambda: None if future.done() else future.set_exception(failure)  # noqa: E731
        else:
            settle = lambda: None if future.done() else future.set_result(value)  # noqa: E731
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            # The loop ended while the hook ran: nobody waits for it any more.
            return
