"""The errors of writes and reads, in one hierarchy; gRPC, REST and CLI map them to their own codes."""

from __future__ import annotations

from collections.abc import Iterable

MAX_SENTENCE = 1_500
"""Longest sentence about one error, in characters, with what it repeats of a request."""
_MAX_FIELD = 200


def shortened(text: str, max_length: int = MAX_SENTENCE) -> str:
    """Shorten text to about `max_length` characters. It loses its middle, since the way out is at the end."""
    if len(text) <= max_length:
        return text
    return f"{text[: max_length * 2 // 3]} … {text[len(text) - max_length // 3 :]}"


def listed(parts: Iterable[str], max_length: int = MAX_SENTENCE, separator: str = ", ") -> str:
    """Join the first parts that fit about `max_length` characters, at least one, and add "and n more"."""
    parts = list(parts)
    size = 0
    for index, part in enumerate(parts):
        size += len(part) + len(separator)
        if index and size > max_length:
            return f"{separator.join(parts[:index])}{separator}and {len(parts) - index:,} more"
    return separator.join(parts)


class GraphError(Exception):
    """The base of every error of the graph; its text is one sentence for the caller."""


class NotFound(GraphError):
    """A node, edge or session with this id does not exist for this tenant."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"{kind} {id} does not exist")
        self.kind = kind
        self.id = id


class AlreadyExists(GraphError):
    """The id belongs to something else."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"{kind} {id} already exists with other content; use another id, or UpdateNode to change it")
        self.kind = kind
        self.id = id


class SessionClosed(GraphError):
    """A node was to be added to a session that has ended."""

    def __init__(self, id: str) -> None:
        super().__init__(f"session {id} is closed; create a new session, or set is_active again with UpdateNode")
        self.id = id


class Violation(Exception):
    """One wrong field."""

    def __init__(self, field: str, description: str) -> None:
        self.field = shortened(field, _MAX_FIELD)
        self.description = shortened(description)
        super().__init__(f"{self.field}: {self.description}")


class Invalid(GraphError):
    """A request that can never be accepted as it is. violations: all of them; the text has the first."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__(listed((str(violation) for violation in violations), separator="; "))
        self.violations = violations


class Vetoed(GraphError):
    """A plugin refused the write."""

    def __init__(self, plugin: str, reason: str) -> None:
        self.plugin = plugin
        self.reason = shortened(reason)
        super().__init__(f"plugin {plugin} refused: {self.reason}")


class FeedGap(GraphError):
    """The position to resume from is no longer kept by the change feed."""

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"the change feed no longer holds event {event_id}; read the graph again, then subscribe afresh"
        )
        self.event_id = event_id


class StoreUnavailable(GraphError):
    """The store cannot be reached, or cannot write now (disk full). Nothing of the write was kept; it may be
    retried."""


class StoreCorrupt(GraphError):
    """The store's file is damaged or of a schema this version cannot read; the text says the way out."""
