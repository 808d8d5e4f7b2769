"""A thread for the calls of a client library, which may block for a minute."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")
_Work = Callable[[], None]


class ClientThread:
    """A thread that calls functions one after the other. Unlike an executor's it does not hold up the end of the
    process: a call that still waits for brokers then is abandoned."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, function: Callable[[], Answer]) -> Answer:
        """Call a function on the thread; returns or raises what the function does."""
        answer: asyncio.Future[Answer] = self._loop.create_future()

        def work() -> None:
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - the caller gets it
                self._resolve(answer, error=error)
            else:
                self._resolve(answer, result)

        self._calls.put(work)
        return await answer

    def end(self) -> None:
        """End the thread after the calls that were made before."""
        self._calls.put(None)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            work()

    def _resolve(
        self, answer: asyncio.Future[Answer], result: Answer | None = None, error: BaseException | None = None
    ) -> None:
        def resolve() -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # None where the function returns none

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(resolve)
