# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The identity of requests: authentication headers and the client certificate, renewed when they run out."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from .._errors import ConfigError
from ._exec_credential import Credential, credential
from ._kubeconfig import ClusterConnection

TOKEN_FILE_TTL_S = 10.0  # the kubelet rotates a token when a fifth of its life is left, which is minutes

Headers = list[tuple[str, str]]


class Identity:
    """The user of one :class:`ClusterConnection`.

    Thread-safe: an exec plugin runs once however many requests wait for it.
    """

    def __init__(self, access: ClusterConnection, clock: Callable[[], float] = time.monotonic) -> None:
        self._access, self._clock = access, clock
        self._lock = threading.RLock()
        self._read_at = 0.0
        self._issued = credential(access) if access.exec_plugin else Credential()
        self._headers = self._build()
        self.generation = 0

    def headers(self) -> tuple[Headers, int]:
        """Return the headers of authentication, and the generation to hand to :meth:`renew` when they are refused."""
        if self._access.token_file is None and self._issued.expires is None:
            return self._headers, self.generation
        with self._lock:
            if self._stale():
                self._replace()
            return self._headers, self.generation

    def certificate(self) -> tuple[bytes | None, bytes | None]:
        """Return the client certificate and its key as PEM."""
        access, issued = self._access, self._issued
        return (access.client_cert, access.client_key) if access.client_cert else (issued.cert, issued.key)

    def renew(self, refused: int) -> bool:
        """Get other credentials after a 401; return False when there are none to get.

        :param refused: generation of the headers the API server refused, so that many threads renew once.
        """
        if not self._access.exec_plugin and self._access.token_file is None:
            return False
        with self._lock:
            if refused == self.generation:
                self._replace()
            return True

    def _stale(self) -> bool:
        if self._access.token_file is not None:
            return self._clock() - self._read_at >= TOKEN_FILE_TTL_S
        return self._issued.expires is not None and datetime.now(UTC) >= self._issued.expires

    def _replace(self) -> None:
        if self._access.exec_plugin:
            self._issued = credential(self._access)
        self._headers = self._build()
        self.generation += 1

    def _build(self) -> Headers:
        access, headers = self._access, list(self._access.headers)
        token = self._file_token() if access.token_file else (access.token or self._issued.token)
        if token:
            headers.append(("Authorization", f"Bearer {token.strip()}"))
        elif access.username:
            basic = base64.b64encode(f"{access.username}:{access.password or ''}".encode()).decode()
            headers.append(("Authorization", f"Basic {basic}"))
        return headers

    def _file_token(self) -> str:
        self._read_at = self._clock()
        path = self._access.token_file
        try:
            return path.read_text() if path else ""
        except OSError as error:
            raise ConfigError(f"token file {path} cannot be read: {error.strerror}") from error
