"""Units of time. All times of the graph are whole nanoseconds since 1970-01-01T00:00:00Z."""

from __future__ import annotations

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
