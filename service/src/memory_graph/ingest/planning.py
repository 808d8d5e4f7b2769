"""Plans one write: turns events of any kind into node creations. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from memory_graph.ingest.conversations import mapping as conversations
from memory_graph.ingest.conversations.events import PromptEvent, ResponseEvent, SessionEvent
from memory_graph.ingest.telemetry import mapping as telemetry
from memory_graph.ingest.telemetry.events import TelemetryEvent, references
from memory_graph.ingest.topics import Event
from memory_graph.ingest.write_planner import SessionUpdate, WritePlanner, node_id
from memory_graph.model.kinds import NodeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import Node, is_stub

_PROMPT, _SESSION = frozenset({NodeType.PROMPT}), frozenset({NodeType.SESSION})
_RESPONSE = frozenset({NodeType.RESPONSE, NodeType.INVOCATION})


class WritePlan(msgspec.Struct, frozen=True):
    """The creations of one write. indexes[i]: the index of event i's creation. session_updates: what the events say of
    sessions. waiting: by index of a response that waits, the index of its prompt's stub."""

    creations: tuple[CreateNode, ...]
    indexes: tuple[int, ...]
    session_updates: tuple[SessionUpdate, ...] = ()
    waiting: Mapping[int, int] = {}


def required_ids(events: Sequence[Event]) -> set[str]:
    """Return the ids of the stored nodes that planning these events needs to know."""
    planned = {node_id(event.event_id) for event in events if isinstance(event, PromptEvent)}
    ids: set[str] = set()
    for event in events:
        if isinstance(event, ResponseEvent):
            ids.add(node_id(event.body.prompt_event_id))
        elif isinstance(event, PromptEvent):
            template = conversations.template_id(event)
            if template is not None:
                ids.add(template)
    return ids - planned


def responses_without_prompt(events: Sequence[Event], stored_nodes: Mapping[str, Node]) -> list[int]:
    """Return the indexes of responses whose prompts are neither stored nor among the events."""
    prompt_ids = [
        (index, node_id(event.body.prompt_event_id))
        for index, event in enumerate(events)
        if isinstance(event, ResponseEvent)
    ]
    if not prompt_ids:
        return []
    planned = {node_id(event.event_id) for event in events if isinstance(event, PromptEvent)}
    return [
        index
        for index, prompt in prompt_ids
        if prompt not in planned and (prompt not in stored_nodes or is_stub(stored_nodes[prompt]))
    ]


def plan_write(
    events: Sequence[Event], new_id: Callable[[], str], stored_nodes: Mapping[str, Node] | None = None, now: int = 0
) -> WritePlan:
    """Plan the creations of one tenant's events: causes first, and every node before an edge to it.

    stored_nodes: the nodes of `required_ids` that exist. now: when the events arrived, in nanoseconds.

    Raises:
        Invalid: if an event refers to a node of the wrong type.
    """
    planner = WritePlanner(new_id, stored_nodes or {}, now)
    ids = [node_id(event.event_id) for event in events]
    indexes = [0] * len(events)
    prompts = [index for index, event in enumerate(events) if isinstance(event, PromptEvent)]
    for index in prompts:  # first, and in the order they came: each follows the one before it
        indexes[index] = _add(planner, events[index])
    for index in _causes_first(events, ids, visited=set(prompts)):
        indexes[index] = _add(planner, events[index])
    return WritePlan(planner.creations(), tuple(indexes), tuple(planner.session_updates.values()), planner.waiting)


def node_types(event: Event) -> frozenset[NodeType]:
    """Return the types that an event's node may have."""
    match event:
        case TelemetryEvent():
            return telemetry.NODE_TYPES
        case PromptEvent():
            return _PROMPT
        case ResponseEvent():
            return _RESPONSE
        case SessionEvent():
            return _SESSION


def _add(planner: WritePlanner, event: Event) -> int:
    match event:
        case TelemetryEvent():
            return telemetry.add(planner, event)
        case PromptEvent():
            return conversations.add_prompt(planner, event)
        case ResponseEvent():
            return conversations.add_response(planner, event)
        case SessionEvent():
            return conversations.add_session(planner, event)


def _cause(event: Event) -> str:
    match event:
        case TelemetryEvent():
            return references(event)
        case ResponseEvent():
            return event.body.prompt_event_id
        case _:
            return ""


def _causes_first(events: Sequence[Event], ids: Sequence[str], visited: set[int]) -> list[int]:
    causes = [_cause(event) for event in events]
    if not any(causes):
        return [index for index in range(len(events)) if index not in visited]
    first = {id: index for index, id in reversed(list(enumerate(ids)))}
    order: list[int] = []
    for index in range(len(events)):
        chain: list[int] = []
        following: int | None = index
        while following is not None and following not in visited:
            visited.add(following)
            chain.append(following)
            named = causes[following]
            following = first.get(node_id(named)) if named else None
        order += reversed(chain)
    return order
