"""The rules for a value that a before-hook returns in place of the original."""

from __future__ import annotations

from typing import Any

import msgspec

from memory_graph.model.nodes import Edge, Node, PromptData, ResponseData, ToolInvocationData
from memory_graph.model.queries import NodeFilter

_FIXED: dict[type, tuple[str, ...]] = {
    Node: ("id", "type", "session_id", "created_at", "recorded_at"),
    Edge: ("id", "type", "from_id", "to_id", "created_at", "recorded_at"),
    NodeFilter: ("session_id",),
    PromptData: ("session_id",),
    ResponseData: ("prompt_id",),
    ToolInvocationData: ("response_id",),
}


def validate_replacement(before: object, returned: object) -> str | None:
    """Return why `returned` may not replace `before`, as the end of a sentence; None if it may."""
    if type(returned) is not type(before):
        return f"returned {type(returned).__name__}, not {type(before).__name__} or None"
    if not isinstance(returned, msgspec.Struct):
        return None if returned == before else "returned another id"
    return _changed_fixed_field(before, returned) or _type_problem(returned)


def _changed_fixed_field(before: Any, returned: Any) -> str | None:  # noqa: ANN401 - both are of one type, whichever it is
    for field in _FIXED.get(type(before), ()):
        if getattr(before, field) != getattr(returned, field):
            return f"changed {field}, which is not a plugin's to change"
    if isinstance(before, Node):
        if type(returned.data) is not type(before.data):
            return f"changed the data to {type(returned.data).__name__}, not {type(before.data).__name__}"
        return _changed_fixed_field(before.data, returned.data)
    return None


def _type_problem(returned: msgspec.Struct) -> str | None:
    """Return why the types of the fields are wrong. Making a struct does not check them, decoding does."""
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(returned), type=type(returned))
    except (msgspec.ValidationError, TypeError, UnicodeEncodeError, OverflowError) as error:
        # The text names types and the path to the field, never the value.
        return f"returned a {type(returned).__name__} that is not valid ({error})"
    return None
