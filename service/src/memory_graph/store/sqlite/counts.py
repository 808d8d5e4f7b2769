"""What `counts` holds beside one row per node type."""

from __future__ import annotations

EDGES = 100
ACTIVE_SESSIONS = 101
WHOLE_TENANT = 0
"""The session number that stands for all of a tenant."""
