"""Database credentials with a rotating password."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from neo4j import Auth, basic_auth
from neo4j.auth_management import AsyncAuthManager
from neo4j.exceptions import Neo4jError

Password = str | None | Callable[[], str | None]
"""The password, or the function that reads it."""
UNAUTHORIZED = "Neo.ClientError.Security.Unauthorized"


class PasswordAuth(AsyncAuthManager):
    """Reads the password once, and again after it was refused (`forget`).

    The driver's own manager (`AsyncAuthManagers.basic`) does not hear of a refusal while a connection is opened, and
    has any other tried again with the same password, until the server locks the user out.
    """

    def __init__(self, username: str, password: Password) -> None:
        self._username = username
        self._password = password
        self._auth: Auth | None = None

    async def get_auth(self) -> Auth:
        if self._auth is None:
            password = await asyncio.to_thread(self._password) if callable(self._password) else self._password
            self._auth = basic_auth(self._username, password or "")
        return self._auth

    async def handle_security_exception(self, auth: object, error: Neo4jError) -> bool:  # noqa: ARG002 - of the driver
        if error.code == UNAUTHORIZED:
            self.forget()
        return False

    def forget(self) -> None:
        """Has the password read before the next connection."""
        self._auth = None
