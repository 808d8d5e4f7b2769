# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The same work on many things, by a few threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(work: Callable[[T], R], items: Iterable[T], parallelism: int) -> list[R]:
    """``work`` on every item with at most ``parallelism`` threads; results in the items' order."""
    todo = list(items)
    if len(todo) <= 1 or parallelism <= 1:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(max_workers=min(parallelism, len(todo))) as pool:
        return list(pool.map(work, todo))
