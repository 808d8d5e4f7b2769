"""The distributed store: a Neo4j database that many processes write to and read from (docs/decisions/0004)."""

from __future__ import annotations

from memory_graph.store.neo4j.store import Neo4jStore, open_store

__all__ = ["Neo4jStore", "open_store"]
