"""Replacing the data of a node; the version before it moves to history."""

from __future__ import annotations

import msgspec

from memory_graph.model.errors import Invalid, NotFound, Violation
from memory_graph.model.kinds import EventType
from memory_graph.model.mutations import UpdateNode
from memory_graph.model.nodes import Node, SessionData, TemplateData
from memory_graph.store.ids import storable
from memory_graph.store.rules.counters import ACTIVE_SESSIONS
from memory_graph.store.rules.idempotency import updated
from memory_graph.store.rules.steps import Steps
from memory_graph.store.rules.unit_of_work import CurrentVersion, UnitOfWork, WriteContext


def update_node(unit: UnitOfWork, context: WriteContext, mutation: UpdateNode) -> Steps[Node]:
    """Give a node new data from `updated_at` on, but never from before the version it replaces. Raises `NotFound`, and
    `Invalid` for data of another type of node."""
    node = mutation.node
    current: CurrentVersion | None = yield unit.current_version(context.tenant, node.id)
    if current is None:
        raise NotFound("node", node.id)
    before = current.node
    if node.type is not before.type or type(node.data) is not type(before.data):
        raise Invalid(
            Violation("node.type", f"node {node.id} is a {before.type.name}; create a node to have another type")
        )
    data = updated(mutation, before)
    if mutation.adds and data == before.data:
        return before
    starts = max(storable("node.updated_at", node.updated_at), current.valid_from)
    after = msgspec.structs.replace(before, data=data, updated_at=starts, recorded_at=context.recorded_at)
    event, switched = EventType.NODE_UPDATED, False
    if isinstance(data, SessionData) and data.is_active != current.active:
        switched = True
        unit.count(context.tenant, None, ACTIVE_SESSIONS, 1 if data.is_active else -1)
        event = EventType.NODE_UPDATED if data.is_active else EventType.SESSION_CLOSED
    yield unit.replace_version(context, current, after, switched=switched)
    unit.record(event, before.type, node.id, before.session_id)
    if isinstance(before.data, TemplateData) and before.data.usage_count:
        data = msgspec.structs.replace(data, usage_count=before.data.usage_count)
        return msgspec.structs.replace(after, data=data)
    return after
