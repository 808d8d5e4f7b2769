"""The move: page by page, to be taken up again where it was stopped, and compared at its end."""

from __future__ import annotations

from typing import Protocol

import msgspec

from memory_graph.model.errors import StoreUnavailable
from memory_graph.store.migration.parts import Checksum, GraphPart
from memory_graph.store.migration.source import MigrationSource
from memory_graph.store.migration.target import MigrationState, MigrationTarget

_PARTS = list(GraphPart)


class ProgressListener(Protocol):
    """Is told how the move goes on."""

    def begins(self, step: str, rows: int) -> None:
        """A step, of so many rows."""
        ...

    def advance(self, rows: int) -> None:
        """Rows of that step that are done."""
        ...


class MigrationCheck(msgspec.Struct, frozen=True):
    """A part in both stores."""

    part: GraphPart
    source: Checksum
    target: Checksum

    @property
    def same(self) -> bool:
        return self.source == self.target


class SourceChanged(StoreUnavailable):
    """The source is not what it was when the move was begun."""


async def migrate_graph(
    source: MigrationSource, target: MigrationTarget, progress: ProgressListener, *, page: int
) -> list[MigrationCheck]:
    """Moves what is not moved yet, compares, and makes the target a store if it is the same; yields what was compared.

    page: rows a transaction. Raises `StoreUnavailable`: then it may be run again, and goes on.
    """
    fingerprint = source.fingerprint()
    state = await target.state()
    if state is not None and state.source != fingerprint:
        raise SourceChanged(
            "the embedded store has changed since this move was begun, or the move was of another one; "
            "empty the database and begin again, with the service stopped until the move has ended"
        )
    state = state or await target.begin(fingerprint)
    for part in _PARTS[_PARTS.index(state.part) :]:
        progress.begins(f"moving {part}", source.count(part))
        if part is not state.part:
            state = await _next(target, state, part)
        state = await _moved(source, target, state, progress, page)
    compared = [await _compared(source, target, part, progress, page) for part in GraphPart]
    if all(comparison.same for comparison in compared):
        await target.finish(source.global_state())
    return compared


async def _next(target: MigrationTarget, state: MigrationState, part: GraphPart) -> MigrationState:
    reached = MigrationState(state.source, part, -1)
    await target.write(state, [], reached)
    return reached


async def _moved(
    source: MigrationSource, target: MigrationTarget, state: MigrationState, progress: ProgressListener, page: int
) -> MigrationState:
    progress.advance(source.count(state.part, state.after))
    while True:
        rows, after = source.page(state.part, state.after, page)
        if not rows:
            return state
        reached = MigrationState(state.source, state.part, after)
        await target.write(state, rows, reached)
        state = reached
        progress.advance(len(rows))


async def _compared(
    source: MigrationSource, target: MigrationTarget, part: GraphPart, progress: ProgressListener, page: int
) -> MigrationCheck:
    progress.begins(f"comparing {part}", source.count(part))
    ours = Checksum()
    for rows in source.rows(part, page):
        for row in rows:
            ours.add(row)
    return MigrationCheck(part, ours, await target.checksum(part, progress.advance))
