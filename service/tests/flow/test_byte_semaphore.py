"""Bytes are bounded, first come first served, and none is lost when a waiter goes away."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.flow.byte_buffer import ByteBuffer
from memory_graph.flow.byte_semaphore import ByteSemaphore


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_does_not_fit_waits_and_goes_on_in_the_order_of_coming():
    semaphore = ByteSemaphore(100)
    got: list[int] = []

    async def hold(size: int) -> None:
        await semaphore.acquire(size)
        got.append(size)

    await semaphore.acquire(90)
    waiting = [asyncio.create_task(hold(size)) for size in (50, 20, 5)]
    await settle()
    assert (got, semaphore.held, semaphore.percent) == ([], 90, 90.0)
    semaphore.release(90)
    await settle()
    assert (got, semaphore.held) == ([50, 20, 5], 75)
    await asyncio.gather(*waiting)


async def test_one_that_is_larger_than_the_limit_gets_it_alone():
    semaphore = ByteSemaphore(100)
    await semaphore.acquire(10)
    large = asyncio.create_task(semaphore.acquire(1_000))
    await settle()
    assert not large.done()
    semaphore.release(10)
    await large
    late = asyncio.create_task(semaphore.acquire(1))
    await settle()
    assert not late.done()
    semaphore.release(1_000)
    await late
    assert semaphore.held == 1


@pytest.mark.parametrize("admitted", [False, True])
async def test_a_waiter_that_goes_away_holds_nothing_and_blocks_nobody(admitted):
    semaphore = ByteSemaphore(100)
    await semaphore.acquire(60)
    cancelled = asyncio.create_task(semaphore.acquire(80))
    behind = asyncio.create_task(semaphore.acquire(30))
    await settle()
    if admitted:
        semaphore.release(60)
    cancelled.cancel()
    await settle()
    assert cancelled.cancelled()
    assert behind.done()
    assert semaphore.held == (30 if admitted else 90)


async def test_a_buffer_gives_what_has_arrived_up_to_a_weight_and_ends_when_closed():
    buffer: ByteBuffer[str] = ByteBuffer(1_000)
    taker = asyncio.create_task(buffer.take(10))
    await settle()
    assert not taker.done()
    for name, weight in (("a", 4), ("b", 6), ("c", 1), ("d", 50)):
        buffer.put(name, weight)
    assert await taker == ["a", "b"]
    assert await buffer.take(10) == ["c"]
    assert await buffer.take(10) == ["d"]
    taker = asyncio.create_task(buffer.take(10))
    await settle()
    buffer.close()
    assert await taker == []
