# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A port of the loopback address that serves each connection on a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Listener:
    """A listener on the loopback address. ``serve`` is called with each connection, and closes it."""

    def __init__(self, serve: Callable[[socket.socket], None], backlog: int) -> None:
        self._serve, self._backlog = serve, backlog
        self._socket = socket.socket()

    def open(self) -> str:
        """Listen, and return ``127.0.0.1:<port>``."""
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(self._backlog)
        threading.Thread(target=self._accept, daemon=True).start()
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        """Accept no more connections; open ones go on."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _peer = self._socket.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()
