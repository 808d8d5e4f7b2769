"""Several processes on one database: one of them publishes, and where it dies another goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import memory_graph
from memory_graph.store.neo4j import open_store
from store.graphs import agent, write
from support.neo4j_server import settings
from support.worker import until

pytestmark = pytest.mark.xdist_group("neo4j")
_SCRIPT = Path(__file__).with_name("publisher_to_file.py")
_PATHS = [str(Path(__file__).parents[1]), str(Path(memory_graph.__file__).parents[1])]


@pytest.fixture
def publishers(empty_neo4j, tmp_path) -> Iterator[dict[Path, subprocess.Popen]]:
    """Two processes, by the file each writes."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(_PATHS)}
    files = [tmp_path / name for name in ("one", "other")]
    started = {file: subprocess.Popen([sys.executable, str(_SCRIPT), empty_neo4j, str(file)], env=environment)
               for file in files}  # fmt: skip
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def published_ids(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


async def test_one_publishes_and_where_it_is_killed_the_other_goes_on(publishers, empty_neo4j):
    store = open_store(**settings(empty_neo4j))
    try:
        await _publish_and_kill(publishers, store)
    finally:
        await store.close()


async def _publish_and_kill(publishers: dict[Path, subprocess.Popen], store) -> None:
    before = [event.id for i in range(20) for event in (await store.apply(write(agent(str(i))))).events]
    until(
        lambda: sum(len(published_ids(file)) for file in publishers) >= len(before),
        seconds=120,
        why="to publish what is there",
    )
    (active,) = [file for file in publishers if published_ids(file)]
    (waiting,) = [file for file in publishers if not published_ids(file)]
    assert published_ids(active) == before
    publishers[active].kill()
    after = [event.id for i in range(20) for event in (await store.apply(write(agent(f"later {i}")))).events]
    until(lambda: published_ids(waiting)[-1:] == after[-1:], seconds=120, why="to go on in another process")
    assert published_ids(waiting)[-len(after) :] == after
    assert set(published_ids(active)) | set(published_ids(waiting)) == {*before, *after}
