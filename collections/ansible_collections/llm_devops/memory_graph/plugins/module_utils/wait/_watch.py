# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A watch of one collection that is opened again whenever it ends."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .._errors import ApiError, ClusterError
from ..cluster._cluster import Cluster
from ..cluster._transport import TransportError

SERVER_TIMEOUT_S = 290  # below the read timeout of a stream, so that the server and not the client ends a quiet watch
REOPEN_INTERVAL_S = 0.2
RECOVERY_INTERVAL_S = 1.0
FINAL = frozenset({400, 401, 403, 404, 405})


@dataclass(frozen=True)
class WatchOpened:
    """The watch begins (again): the server sends what exists first, so what is not sent is gone."""

    watch: CollectionWatch


@dataclass(frozen=True)
class WatchRefused:
    """The watch is over for good: not permitted, or the API server no longer knows the kind."""

    watch: CollectionWatch
    error: ApiError


@dataclass(frozen=True)
class ConnectionLost:
    """The API server does not answer for now."""

    watch: CollectionWatch
    error: ClusterError


class CollectionWatch(threading.Thread):
    """Feeds changes of one collection into a queue until closed. An API server that goes away is waited for.

    The queue gets :class:`WatchOpened`, then ``(watch, event)`` for every event; :class:`ConnectionLost`;
    :class:`WatchRefused`.
    """

    def __init__(self, cluster: Cluster, path: str, query: dict[str, Any], sink: queue.SimpleQueue[Any]) -> None:
        super().__init__(daemon=True, name=f"watch {path}")
        self._cluster, self._path, self._query, self._sink = cluster, path, query, sink
        self._closed = threading.Event()
        self._response: Any = None

    def run(self) -> None:
        while not self._closed.is_set():
            try:
                # without a resourceVersion the server first sends what exists: no list, no gap after a broken watch
                query = {"watch": "1", "timeoutSeconds": SERVER_TIMEOUT_S, **self._query}
                self._response = self._cluster.stream(self._path, query)
                self._sink.put(WatchOpened(self))
                for line in _lines(self._response):
                    self._sink.put((self, json.loads(line)))
                self._closed.wait(REOPEN_INTERVAL_S)
            except ClusterError as error:
                if isinstance(error, ApiError) and error.status in FINAL:
                    self._sink.put(WatchRefused(self, error))
                    return
                if not self._closed.is_set():  # an API server that restarts, or is short of breath, comes back
                    self._sink.put(ConnectionLost(self, error))
                    self._closed.wait(RECOVERY_INTERVAL_S)
            except (TransportError, OSError, ValueError, AttributeError):  # dropped, or closed under our feet
                self._closed.wait(REOPEN_INTERVAL_S)

    def close(self) -> None:
        self._closed.set()
        if self._response is not None:
            try:
                self._response.shutdown()
            except (TransportError, OSError, ValueError):
                return


def _lines(response: Any) -> Iterable[bytes]:
    rest = b""
    for chunk in response.stream(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
