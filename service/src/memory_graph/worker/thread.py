"""The one thread that calls a client library, which may hold it up for a minute."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")
_Work = Callable[[], None]


class ClientThread:
    """Calls functions one after the other. Unlike an executor's it does not hold up the end of the process: a call that
    waits for brokers that are away is left where it is."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, function: Callable[[], Answer]) -> Answer:
        """What it returns or raises."""
        answer: asyncio.Future[Answer] = self._loop.create_future()

        def work() -> None:
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                self._tell(answer, error=error)
            else:
                self._tell(answer, result)

        self._calls.put(work)
        return await answer

    def end(self) -> None:
        """After the calls that were made."""
        self._calls.put(None)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            work()

    def _tell(
        self, answer: asyncio.Future[Answer], result: Answer | None = None, error: BaseException | None = None
    ) -> None:
        def tell() -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # None where the function returns none

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(tell)
