"""The batching writer: group commit without waiting, bounded memory, nobody forgotten."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from memory_graph.model.errors import NotFound, StoreUnavailable
from memory_graph.model.mutations import Applied
from memory_graph.store.writer import BatchingWriter
from store.graphs import agent, write


class Disk:
    """A commit that tests let through one at a time."""

    def __init__(self) -> None:
        self.batches: list[list] = []
        self.turn = asyncio.Semaphore(0)
        self.started = asyncio.Event()
        self.fails: Exception | None = None
        self.published: list = []

    async def commit(self, writes):
        self.batches.append(list(writes))
        self.started.set()
        await self.turn.acquire()
        if self.fails:
            raise self.fails
        return [Applied(results=(), created=len(item.mutations), events=()) for item in writes]

    async def publish(self, writes, outcomes):
        self.published += zip(writes, outcomes, strict=True)

    def release(self, commits: int = 100) -> None:
        for _ in range(commits):
            self.turn.release()


@pytest.fixture
async def disk():
    return Disk()


async def settled(tasks, done: int) -> None:
    while sum(task.done() for task in tasks) < done:
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)


async def test_what_arrives_during_a_commit_shares_the_next(disk):
    writer = BatchingWriter(disk.commit, disk.publish)
    first = asyncio.create_task(writer.submit(write(agent())))
    await disk.started.wait()
    rest = [asyncio.create_task(writer.submit(write(agent()))) for _ in range(50)]
    await asyncio.sleep(0)
    disk.release()
    await asyncio.gather(first, *rest)
    assert [len(batch) for batch in disk.batches] == [1, 50]


async def test_a_batch_is_bounded_but_a_single_write_may_be_larger(disk):
    writer = BatchingWriter(disk.commit, disk.publish, max_mutations=4)
    disk.release()
    sizes = (3, 1, 2, 9, 1)
    await asyncio.gather(*(writer.submit(write(*(agent() for _ in range(size)))) for size in sizes))
    assert [[len(item.mutations) for item in batch] for batch in disk.batches] == [[3, 1], [2], [9], [1]]


async def test_order_is_kept_and_publishing_comes_before_the_answer(disk):
    writer = BatchingWriter(disk.commit, disk.publish, max_mutations=3)
    writes = [write(agent(str(i))) for i in range(10)]
    disk.release()

    async def submit(first):
        applied = await writer.submit(first)
        assert (first, applied) in disk.published

    await asyncio.gather(*map(submit, writes))
    assert [item for batch in disk.batches for item in batch] == writes
    assert [item for item, _ in disk.published] == writes


async def test_pending_bytes_are_bounded_and_waiters_keep_their_order(disk):
    writer = BatchingWriter(disk.commit, disk.publish, max_pending_bytes=1_500)
    tasks = [asyncio.create_task(writer.submit(write(agent("x" * 500, at=i)))) for i in range(6)]
    await disk.started.wait()
    disk.release(1)
    await settled(tasks, 1)
    assert sum(len(batch) for batch in disk.batches) < 6
    disk.release()
    await asyncio.gather(*tasks)
    order = [item.mutations[0].node.created_at for batch in disk.batches for item in batch]
    assert order == list(range(6))
    assert max(len(batch) for batch in disk.batches) <= 2


async def test_a_write_larger_than_the_bound_gets_through_alone(disk):
    writer = BatchingWriter(disk.commit, disk.publish, max_pending_bytes=100)
    disk.release()
    await asyncio.gather(*(writer.submit(write(agent("x" * 500))) for _ in range(3)))
    assert [len(batch) for batch in disk.batches] == [1, 1, 1]


async def test_a_waiter_that_gives_up_leaves_its_place(disk):
    writer = BatchingWriter(disk.commit, disk.publish, max_pending_bytes=100)
    tasks = [asyncio.create_task(writer.submit(write(agent("x" * 500, at=i)))) for i in range(3)]
    await disk.started.wait()
    tasks[1].cancel()
    disk.release()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Applied, asyncio.CancelledError, Applied]
    assert [item.mutations[0].node.created_at for batch in disk.batches for item in batch] == [0, 2]
    await writer.submit(write(agent()))


async def test_a_waiter_that_gives_up_as_its_turn_comes_gives_its_room_back(disk):
    writer = BatchingWriter(disk.commit, disk.publish, max_pending_bytes=100)

    async def first() -> None:
        await writer.submit(write(agent("x" * 500)))
        waiting.cancel()

    leading = asyncio.create_task(first())
    await disk.started.wait()
    waiting = asyncio.create_task(writer.submit(write(agent("x" * 500))))
    last = asyncio.create_task(writer.submit(write(agent("x" * 500))))
    await asyncio.sleep(0)
    disk.release()
    await leading
    assert (await last).created == 1
    assert waiting.cancelled()


async def test_a_caller_that_gives_up_does_not_disturb_the_others(disk):
    writer = BatchingWriter(disk.commit, disk.publish)
    tasks = [asyncio.create_task(writer.submit(write(agent()))) for _ in range(3)]
    await disk.started.wait()
    tasks[0].cancel()
    disk.release()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, Applied, Applied]


async def test_a_failed_commit_is_told_to_its_callers_only(disk):
    writer = BatchingWriter(disk.commit, disk.publish)
    disk.fails = StoreUnavailable("the disk is full")
    disk.release()
    outcomes = await asyncio.gather(*(writer.submit(write(agent())) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert disk.published == []
    disk.fails = None
    assert (await writer.submit(write(agent()))).created == 1


async def test_a_refusal_is_told_to_its_caller_only(disk):
    async def commit(writes):
        return [NotFound("node", "x") if item.tenant == "bad" else Applied(results=(), created=1, events=())
                for item in writes]  # fmt: skip

    writer = BatchingWriter(commit, disk.publish)
    outcomes = await asyncio.gather(
        *(writer.submit(write(agent(), tenant=tenant)) for tenant in ("good", "bad", "good")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Applied, NotFound, Applied]


async def test_close_commits_what_was_accepted_and_refuses_the_rest(disk):
    writer = BatchingWriter(disk.commit, disk.publish, max_pending_bytes=100)
    tasks = [asyncio.create_task(writer.submit(write(agent("x" * 500)))) for _ in range(2)]
    await disk.started.wait()
    closing = asyncio.create_task(writer.close())
    disk.release()
    await closing
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Applied, StoreUnavailable]
    with pytest.raises(StoreUnavailable, match="closed"):
        await writer.submit(write(agent()))
    await writer.close()


async def test_a_write_the_store_chokes_on_fails_alone(disk):
    async def commit(writes):
        if any(item.tenant == "poison" for item in writes):
            raise OverflowError("a mistake of the store")
        return [Applied(results=(), created=1, events=()) for _ in writes]

    writer = BatchingWriter(commit, disk.publish)
    outcomes = await asyncio.gather(
        *(writer.submit(write(agent(), tenant=tenant)) for tenant in ("a", "poison", "b")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Applied, OverflowError, Applied]
    assert [item.tenant for item, _ in disk.published] == ["a", "b"]


class FailingPublisher:
    """Publishes or measures the first `times` batches with a mistake."""

    def __init__(self, times: int) -> None:
        self.times = times

    def break_or_not(self) -> None:
        self.times -= 1
        if self.times >= 0:
            raise LookupError("a mistake of ours")

    async def publish(self, _writes, _outcomes):
        self.break_or_not()

    def committed(self, _mutations, _seconds):
        self.break_or_not()

    def pending(self, _size):
        """Is not what breaks."""


@pytest.mark.parametrize("where", ["publish", "observer"])
async def test_a_commit_that_is_not_published_is_answered_and_not_committed_again(disk, where):
    breaking = FailingPublisher(times=1)
    publish, observer = (breaking.publish, None) if where == "publish" else (disk.publish, breaking)
    writer = BatchingWriter(disk.commit, publish, observer=observer)
    disk.release()
    with capture_logs() as logs:
        async with asyncio.timeout(20):
            applied = await asyncio.gather(*(writer.submit(write(agent())) for _ in range(3)))
            applied.append(await writer.submit(write(agent())))
    assert [outcome.created for outcome in applied] == [1, 1, 1, 1]
    assert [len(batch) for batch in disk.batches] == [3, 1]
    (line,) = logs
    assert (line["event"], line["error_type"]) == ("commit not published", "LookupError")


@pytest.mark.parametrize("wrong", [[], ["not an outcome"] * 3], ids=["too few", "no outcomes"])
async def test_a_commit_that_answers_nonsense_hangs_nobody(disk, wrong):
    async def commit(writes):
        return wrong if any(item.tenant == "bad" for item in writes) else await disk.commit(writes)

    writer = BatchingWriter(commit, disk.publish)
    disk.release()
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(
            *(writer.submit(write(agent(), tenant="bad")) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(outcome, Exception) for outcome in outcomes)
        assert (await writer.submit(write(agent()))).created == 1
    await writer.close()


async def test_a_pump_that_is_cancelled_hangs_nobody(disk):
    writer = BatchingWriter(disk.commit, disk.publish)
    stuck = asyncio.create_task(writer.submit(write(agent())))
    await disk.started.wait()
    writer._pump.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(StoreUnavailable, match="broken off"):
            await stuck
        disk.release()
        assert (await writer.submit(write(agent()))).created == 1
