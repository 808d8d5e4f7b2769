"""What the pipeline takes: events of any source that have been checked."""

from __future__ import annotations

from memory_graph.ingest.conversations.events import Conversation
from memory_graph.ingest.telemetry.events import TelemetryEvent

Event = TelemetryEvent | Conversation
"""Every event has an event_id, an event_type, and a key: events of one key are stored in the order they came."""
