"""Tenants with a meaning of their own."""

from __future__ import annotations

SMOKE_TEST_TENANT = "_smoke_test"
"""The tenant of smoke tests. It is ephemeral: a store keeps no history of it and no count, and puts nothing of it into
the change feed, so what is deleted from it leaves no trace."""


def is_ephemeral(tenant: str) -> bool:
    """Return whether a tenant's data is deleted without trace and reported to nobody."""
    return tenant == SMOKE_TEST_TENANT
