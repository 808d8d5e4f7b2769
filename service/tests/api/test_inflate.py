"""The output of the inflator is bounded, also in memory."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_graph.api.rest.inflate import DamagedGzip, InflatedTooLarge, Inflator, inflated

MIB = 1 << 20


@given(st.binary(max_size=5_000), st.integers(1, 100), st.integers(1, 3))
def test_whatever_the_pieces_and_members_it_comes_out_whole(content: bytes, piece: int, members: int) -> None:
    sent = gzip.compress(content) * members
    inflator = Inflator(len(content) * members)
    for begin in range(0, len(sent), piece):
        inflator.feed(sent[begin : begin + piece])
    assert inflator.end() == content * members


def test_one_byte_more_than_may_come_out_is_refused() -> None:
    assert inflated(gzip.compress(b"x" * 100), 100) == b"x" * 100
    with pytest.raises(InflatedTooLarge):
        inflated(gzip.compress(b"x" * 101), 100)


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(b" " * (200 * MIB), 9)
    tracemalloc.start()
    with pytest.raises(InflatedTooLarge):
        inflated(bomb, MIB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * MIB


DAMAGED = {
    "nothing": b"",
    "no gzip": b"x",
    "cut off": gzip.compress(b"x")[:-1],
    "more behind it": gzip.compress(b"x") + b"y",
    "headers alone": b"\x1f\x8b" * 20,
}


@pytest.mark.parametrize("sent", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_gzip_or_is_cut_off_is_damaged(sent: bytes) -> None:
    with pytest.raises(DamagedGzip):
        inflated(sent, 100)
