# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""Replacing the data of a node; the version before it moves to history."""

from __future__ import annotations

import msgspec

from memory_graph.model.errors import Invalid, NotFound, Violation
from memory_graph.model.kinds import EventType
from memory_graph.model.mutations import UpdateNode
from memory_graph.model.nodes import Node, NodeData, SessionData
from memory_graph.store.ids import storable, to_bytes
from memory_graph.store.rules.idempotency import updated
from memory_graph.store.sqlite.counts import ACTIVE_SESSIONS, WHOLE_TENANT
from memory_graph.store.sqlite.create import WriteContext
from memory_graph.store.sqlite.delete import unindex_node
from memory_graph.store.sqlite.history import NODE_TO_HISTORY
from memory_graph.store.sqlite.rows import NODE, attribute_rows, text_row
from memory_graph.store.sqlite.unit_of_work import SqliteUnitOfWork, insert_attributes, insert_texts


def update_node(unit: SqliteUnitOfWork, context: WriteContext, mutation: UpdateNode) -> Node:
    """Makes the data asked for that of the node from asked.updated_at on, but never from before the version it
    replaces. Raises `NotFound`, and `Invalid` for data of another type of node."""
    asked = mutation.node
    raw = to_bytes(asked.id)
    row = unit.connection.execute(
        f"""SELECT {NODE}, v.session, v.valid_from, s.active FROM nodes v LEFT JOIN sessions s ON s.session = v.session
        WHERE v.tenant = ? AND v.id = ?""",
        (context.tenant, raw),
    ).fetchone()
    if row is None:
        raise NotFound("node", asked.id)
    *columns, session, valid_from, active = row
    before = unit.rows.node(context.name, columns)
    if asked.type is not before.type or type(asked.data) is not type(before.data):
        raise Invalid(
            Violation("node.type", f"node {asked.id} is a {before.type.name}; create a node to have another type")
        )
    data = updated(mutation, before)
    if mutation.adds and data == before.data:
        return before
    n, stored_before, uses = columns[0], columns[8], columns[7]
    starts = max(storable("node.updated_at", asked.updated_at), valid_from)
    unit.connection.execute(f"{NODE_TO_HISTORY} WHERE n = :n", {"n": n, "at": starts, "closed_at": context.recorded_at})
    unit.connection.execute(
        "UPDATE nodes SET data = ?, updated_at = ?, valid_from = ?, recorded_at = ? WHERE n = ?",
        (unit.rows.encode_data(context.name, asked.id, data), starts, starts, context.recorded_at, n),
    )
    unindex_node(unit, context, n, asked.id, before.created_at, stored_before)
    insert_attributes(unit.connection, list(attribute_rows(context.tenant, n, before.created_at, data)))
    words = text_row(context.tenant, n, session, data)
    insert_texts(unit.connection, [words] if words else [])
    changed = _switched(unit, context, n, data, active)
    unit.changes.append((changed, before.type, asked.id, raw, before.session_id))
    if uses:
        data = msgspec.structs.replace(data, usage_count=uses)
    return msgspec.structs.replace(before, data=data, updated_at=starts, recorded_at=context.recorded_at)


def _switched(unit: SqliteUnitOfWork, context: WriteContext, n: int, data: NodeData, active: int) -> EventType:
    """Opens or closes a session with its data."""
    if not isinstance(data, SessionData) or data.is_active == bool(active):
        return EventType.NODE_UPDATED
    unit.connection.execute("UPDATE sessions SET active = ? WHERE session = ?", (int(data.is_active), n))
    unit.count(context.tenant, WHOLE_TENANT, ACTIVE_SESSIONS, 1 if data.is_active else -1)
    return EventType.NODE_UPDATED if data.is_active else EventType.SESSION_CLOSED
