"""Runs rules that must query the store step by step, written once for stores with and without an event loop.

Such a rule is a generator: it yields calls of a store's methods and is sent their results. A method of a store that
blocks returns its result, one of a store on the event loop returns an awaitable; the rule sees no difference.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator[Any, Any, T]
"""A rule that yields calls of a store and returns a `T`."""


def run(steps: Steps[T]) -> T:
    """Run a rule over a store whose methods return results."""
    result: Any = None
    while True:
        try:
            result = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value


async def run_async(steps: Steps[T]) -> T:
    """Run a rule over a store whose methods return awaitables. What they raise is raised in the rule."""
    try:
        call = steps.send(None)
        while True:
            try:
                result = await call
            except Exception as error:  # noqa: BLE001 - the rule decides what it means
                call = steps.throw(error)
            else:
                call = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
