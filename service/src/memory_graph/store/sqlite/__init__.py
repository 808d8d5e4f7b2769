"""The embedded store, in one SQLite file."""

from __future__ import annotations

from memory_graph.store.sqlite.store import SqliteStore, open_store

__all__ = ["SqliteStore", "open_store"]
