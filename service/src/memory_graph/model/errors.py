"""What a write or a read can be refused for. One hierarchy; the edge (gRPC, REST, CLI) maps it to its own codes."""

from __future__ import annotations


class GraphError(Exception):
    """Base of every error of the graph; its text is one sentence for the caller."""


class NotFound(GraphError):
    """Something named by id does not exist for this tenant."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"{kind} {id} does not exist")
        self.kind = kind
        self.id = id


class AlreadyExists(GraphError):
    """The id is taken by something else."""

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
    """One field that is wrong."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description


class Invalid(GraphError):
    """A request that can never be accepted as it is; every field at fault is named."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(str(violation) for violation in violations))
        self.violations = violations


class Vetoed(GraphError):
    """A plugin refused the write."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(f"plugin {plugin} refused: {reason}")
        self.plugin = plugin
        self.reason = reason


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
