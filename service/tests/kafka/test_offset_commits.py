"""Commits of offsets, one after the other, whatever the brokers say to each."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from memory_graph.worker.offset_commits import COMMIT_INTERVAL_S, OffsetCommits
from memory_graph.worker.offsets import Offsets
from support.fake_clock import FakeClock

A, B = ("topic", 0), ("topic", 1)


class AdvancingClock(FakeClock):
    """Advances by the commit interval at each call."""

    def __call__(self) -> float:
        self.now += COMMIT_INTERVAL_S
        return self.now


@pytest.fixture
def offsets() -> Offsets:
    return Offsets()


@pytest.fixture
def commits(offsets: Offsets) -> OffsetCommits:
    return OffsetCommits(offsets, AdvancingClock())


def test_none_is_made_while_another_is_under_way(commits, offsets):
    offsets.end(offsets.begin(A, 10))
    assert commits.due() == {A: 10}
    offsets.end(offsets.begin(A, 20))
    offsets.end(offsets.begin(B, 5))
    assert (commits.in_flight, commits.due()) == (True, {})
    commits.answered(None)
    assert commits.due() == {A: 20, B: 5}


def test_nothing_that_has_moved_is_no_commit_under_way(commits, offsets):
    assert commits.due() == {}
    offsets.end(offsets.begin(A, 10))
    assert commits.due() == {A: 10}


@pytest.mark.parametrize(
    "code", [KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError._WAIT_COORD]
)
def test_what_is_refused_is_committed_again_though_nothing_comes(commits, offsets, code):
    offsets.end(offsets.begin(A, 10))
    for _ in range(3):
        assert commits.due() == {A: 10}
        commits.answered(KafkaError(code))
        assert commits.refusal.code() == code
    assert commits.due() == {A: 10}
    commits.answered(None)
    assert (commits.refusal, commits.due()) == (None, {})


def test_they_are_made_at_intervals(offsets):
    clock = FakeClock()
    commits = OffsetCommits(offsets, clock)
    for number in (1, 2):
        offsets.end(offsets.begin(A, number))
        assert commits.due() == {A: number}
        commits.answered(None)
        offsets.end(offsets.begin(A, number))
        clock.now += COMMIT_INTERVAL_S / 2
        assert commits.due() == {}
        clock.now += COMMIT_INTERVAL_S / 2
