"""Events of any kind as the creations of one write. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from memory_graph.ingest.conversations import mapping as conversations
from memory_graph.ingest.conversations.events import PromptEvent, ResponseEvent, SessionEvent
from memory_graph.ingest.event import Event
from memory_graph.ingest.planner import Planner, SessionTold, node_id
from memory_graph.ingest.telemetry import mapping as telemetry
from memory_graph.ingest.telemetry.events import TelemetryEvent, references
from memory_graph.model.kinds import NodeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import Node, is_stub

_PROMPT, _SESSION = frozenset({NodeType.PROMPT}), frozenset({NodeType.SESSION})
_RESPONSE = frozenset({NodeType.RESPONSE, NodeType.INVOCATION})


class Plan(msgspec.Struct, frozen=True):
    """Creations that store events. places[i]: where event i stands among them. sessions: what is told of those it
    names. waiting: places of responses that wait, with those of their prompts' stubs."""

    creations: tuple[CreateNode, ...]
    places: tuple[int, ...]
    sessions: tuple[SessionTold, ...] = ()
    waiting: Mapping[int, int] = {}


def needs(events: Sequence[Event]) -> set[str]:
    """Ids of nodes that must be known to plan events, if they are stored."""
    made = {node_id(event.event_id) for event in events if isinstance(event, PromptEvent)}
    wanted: set[str] = set()
    for event in events:
        if isinstance(event, ResponseEvent):
            wanted.add(node_id(event.body.prompt_event_id))
        elif isinstance(event, PromptEvent):
            template = conversations.template_id(event)
            if template is not None:
                wanted.add(template)
    return wanted - made


def without_prompt(events: Sequence[Event], known: Mapping[str, Node]) -> list[int]:
    """Places of the responses whose prompts are neither known nor among the events."""
    asked = [
        (place, node_id(event.body.prompt_event_id))
        for place, event in enumerate(events)
        if isinstance(event, ResponseEvent)
    ]
    if not asked:
        return []
    made = {node_id(event.event_id) for event in events if isinstance(event, PromptEvent)}
    return [place for place, prompt in asked if prompt not in made and (prompt not in known or is_stub(known[prompt]))]


def plan(
    events: Sequence[Event], new_id: Callable[[], str], known: Mapping[str, Node] | None = None, now: int = 0
) -> Plan:
    """The creations for events of one tenant: causes first, and every node before an edge to it. known: the nodes
    that `needs` named and that are stored. now: when the events arrived, in nanoseconds.

    Raises:
        Invalid: an event names nodes in a way that can never be.
    """
    planner = Planner(new_id, known or {}, now)
    ids = [node_id(event.event_id) for event in events]
    places = [0] * len(events)
    prompts = [index for index, event in enumerate(events) if isinstance(event, PromptEvent)]
    for index in prompts:  # first, and in the order they came: each follows the one before it
        places[index] = _add(planner, events[index])
    for index in _causes_first(events, ids, visited=set(prompts)):
        places[index] = _add(planner, events[index])
    return Plan(planner.creations(), tuple(places), tuple(planner.sessions.values()), planner.waiting)


def becomes(event: Event) -> frozenset[NodeType]:
    """What an event's node can be."""
    match event:
        case TelemetryEvent():
            return telemetry.NODE_TYPES
        case PromptEvent():
            return _PROMPT
        case ResponseEvent():
            return _RESPONSE
        case SessionEvent():
            return _SESSION


def _add(planner: Planner, event: Event) -> int:
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
