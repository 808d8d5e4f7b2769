"""Replacing the data of a node; the version before it becomes a :NodeVersion."""

from __future__ import annotations

import msgspec

from memory_graph.model.errors import Invalid, NotFound, Violation
from memory_graph.model.kinds import EventType, NodeType
from memory_graph.model.mutations import UpdateNode
from memory_graph.model.nodes import Node, SessionData
from memory_graph.store.ids import storable, to_bytes
from memory_graph.store.neo4j.connection import ask, do
from memory_graph.store.neo4j.create import WriteContext
from memory_graph.store.neo4j.labels import ACTIVE_SESSIONS
from memory_graph.store.neo4j.rows import NODE
from memory_graph.store.neo4j.statements import AT_KEY, VERSION_OF_NODE
from memory_graph.store.neo4j.unit_of_work import Neo4jUnitOfWork
from memory_graph.store.rules.idempotency import updated

LOCKED = f"""
{AT_KEY} SET v.type = v.type
WITH collect(v) AS locked UNWIND locked AS v WITH v WHERE v:Node
"""
"""Takes a node's lock, then reads it."""
_READ = f"{LOCKED} RETURN v.valid_from, v.active, {NODE}"
_REPLACE = f"""
{AT_KEY}
{VERSION_OF_NODE}
SET v += $properties
"""


async def update_node(unit: Neo4jUnitOfWork, context: WriteContext, mutation: UpdateNode) -> Node:
    """Makes the data asked for that of the node from asked.updated_at on, but never from before the version it
    replaces. Raises `NotFound`, and `Invalid` for data of another type of node."""
    asked = mutation.node
    found = await ask(unit.tx, _READ, tenant=context.tenant, id=asked.id)
    if not found:
        raise NotFound("node", asked.id)
    valid_from, active, *row = found[0]
    before = unit.rows.node(context.tenant, row)
    if asked.type is not before.type or type(asked.data) is not type(before.data):
        raise Invalid(
            Violation("node.type", f"node {asked.id} is a {before.type.name}; create a node to have another type")
        )
    data = updated(mutation, before)
    if mutation.adds and data == before.data:
        return before
    starts = max(storable("node.updated_at", asked.updated_at), valid_from)
    after = msgspec.structs.replace(before, data=data, updated_at=starts, recorded_at=context.recorded_at)
    properties = unit.rows.content(context.tenant, after)
    properties |= {"updated_ns": starts, "valid_from": starts, "recorded_at": context.recorded_at}
    changed = EventType.NODE_UPDATED
    if isinstance(data, SessionData) and data.is_active != active:
        properties["active"] = data.is_active
        unit.count(context.tenant, ACTIVE_SESSIONS, 1 if data.is_active else -1)
        changed = EventType.NODE_UPDATED if data.is_active else EventType.SESSION_CLOSED
    await do(
        unit.tx,
        _REPLACE,
        tenant=context.tenant,
        id=asked.id,
        at=starts,
        closed_at=context.recorded_at,
        properties=properties,
    )
    unit.changes.append((changed, before.type, asked.id, to_bytes(asked.id), before.session_id))
    uses = row[7]
    if uses and before.type is NodeType.TEMPLATE:
        return msgspec.structs.replace(after, data=msgspec.structs.replace(data, usage_count=uses))
    return after
