"""The union of all checked events."""

from __future__ import annotations

from memory_graph.ingest.conversations.events import ConversationEvent
from memory_graph.ingest.telemetry.events import TelemetryEvent

Event = TelemetryEvent | ConversationEvent
"""Each event has an event_id, an event_type and a key: events of one key are stored in their order of arrival."""
