# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""Versions of nodes that are no longer true."""

from __future__ import annotations

from typing import Any

import apsw

from memory_graph.model.kinds import NodeType
from memory_graph.store.ids import EARLIEST

_NODE_COLUMNS = "n, tenant, id, type, session, created_at, updated_at, valid_from, recorded_at, uses, data"

NODE_TO_HISTORY = f"""
INSERT INTO node_history ({_NODE_COLUMNS}, valid_to, closed_at)
SELECT {_NODE_COLUMNS}, max(:at, valid_from), :closed_at FROM nodes
"""


def materialize_stub(connection: apsw.Connection, row: tuple[Any, ...]) -> None:
    """Makes a stub's row that of the node it stood for. The stub was true at no time: only what was known before
    this still shows it. row: as `SqliteUnitOfWork.add_node` takes it."""
    n, _, _, type, session, created_at, updated_at, valid_from, recorded_at, data = row
    connection.execute(f"{NODE_TO_HISTORY} WHERE n = :n", {"n": n, "at": EARLIEST, "closed_at": recorded_at})
    connection.execute(
        """UPDATE nodes SET type = ?, session = ?, created_at = ?, updated_at = ?, valid_from = ?, recorded_at = ?,
        data = ? WHERE n = ?""",
        (type, session, created_at, updated_at, valid_from, recorded_at, data, n),
    )


_ENDED = f"SELECT n FROM node_history WHERE tenant = :tenant AND type = {int(NodeType.SESSION)}"
_DROP_TRACES = f"""
DELETE FROM sessions WHERE session IN ({_ENDED} EXCEPT SELECT n FROM nodes WHERE tenant = :tenant);
DELETE FROM node_history WHERE tenant = :tenant;
DELETE FROM edge_history WHERE tenant = :tenant;
DELETE FROM counts WHERE tenant = :tenant AND count = 0;
"""


def drop_traces(connection: apsw.Connection, tenant: int) -> None:
    """Deletes all versions of a tenant that are no longer true, and what is kept for their sake."""
    connection.execute(_DROP_TRACES, {"tenant": tenant})
