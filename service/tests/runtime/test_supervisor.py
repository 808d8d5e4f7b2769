"""The supervisor of background tasks: the first that ends unasked ends its process, and says why."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from memory_graph.runtime.supervisor import Supervisor, TaskFailed


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def failures(registry: CollectorRegistry, task: str) -> float | None:
    return registry.get_sample_value("memory_graph_background_task_failures_total", {"task": task})


async def raises() -> None:
    raise LookupError("no such thing")


async def returns() -> None:
    return


async def cancels_itself() -> None:
    asyncio.current_task().cancel()
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [(raises, "LookupError: no such thing"), (returns, "it returned"), (cancels_itself, "it was cancelled")],
)
async def test_a_task_that_ends_unasked_is_told_counted_and_raised(registry, ending, reason):
    reported = []
    with capture_logs() as logs, pytest.raises(TaskFailed, match=reason):  # noqa: PT012
        async with Supervisor(registry, reported.append) as supervisor:
            supervisor.start(asyncio.sleep(60), "other")
            supervisor.start(ending(), "loop")
            await supervisor.stopping.wait()
            assert failures(registry, "loop") == 1
            assert failures(registry, "other") == 0
    (line,) = logs
    assert (line["event"], line["task"], line["reason"]) == ("background task ended", "loop", reason)
    assert line["log_level"] == "critical"
    assert [failure.task for failure in reported] == ["loop"]


async def test_the_first_failure_wins_over_later_ones_and_over_what_the_end_raises(registry):
    with pytest.raises(TaskFailed, match="background task first"):  # noqa: PT012 - the context is what raises
        async with Supervisor(registry) as supervisor:
            supervisor.start(raises(), "first")
            await supervisor.stopping.wait()
            supervisor.start(raises(), "second")
            await asyncio.sleep(0)
            raise RuntimeError("what came of it")
    assert failures(registry, "second") == 1


async def test_tasks_may_return_or_be_cancelled_once_the_process_drains(registry):
    async def until_stopped() -> None:
        await supervisor.stopping.wait()

    async with Supervisor(registry) as supervisor:
        tasks = [supervisor.start(until_stopped(), "drains"), supervisor.start(asyncio.sleep(60), "stays")]
        await asyncio.sleep(0)
        supervisor.stopping.set()
        await tasks[0]
    assert tasks[1].cancelled()
    assert failures(registry, "drains") == failures(registry, "stays") == 0


async def test_an_exception_while_draining_is_no_silent_end_either(registry):
    async def fails_late() -> None:
        await supervisor.stopping.wait()
        raise LookupError("late")

    with pytest.raises(TaskFailed, match="late"):  # noqa: PT012
        async with Supervisor(registry) as supervisor:
            task = supervisor.start(fails_late(), "late")
            supervisor.stopping.set()
            await asyncio.wait({task})


async def test_what_raises_in_the_block_is_raised_where_no_task_failed(registry):
    with pytest.raises(RuntimeError, match="of the block"):  # noqa: PT012
        async with Supervisor(registry) as supervisor:
            supervisor.start(asyncio.sleep(60), "loop")
            raise RuntimeError("of the block")
