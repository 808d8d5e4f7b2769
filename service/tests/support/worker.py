"""A real worker process, and what is in the embedded store after it."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import apsw

from memory_graph.model.kinds import EdgeType, NodeType
from support.server import ServerProcess
from support.telemetry import metric

LIMIT_S = 60.0
_TELEMETRY = (NodeType.INVOCATION, NodeType.PERFORMANCE_METRIC, NodeType.ERROR)


class WorkerProcess(ServerProcess):
    """`memory-graph worker`."""

    command = "worker"
    ready = "working"

    @property
    def is_ready(self) -> bool:
        """Its health check."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/healthz", timeout=30) as reply:
                return reply.status == 200
        except urllib.error.HTTPError:
            return False

    def processed(self, event_type: str = "llm.invocation.complete", status: str = "stored") -> float:
        labels = f'{{event_type="{event_type}",status="{status}"}}'
        return metric(self, f"llm_memory_graph_events_processed_total{labels}")

    def logged(self, message: str) -> list[dict[str, object]]:
        """Return the log lines with that message."""
        return [line for line in self.log if line["message"] == message]

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)


Work = Callable[..., WorkerProcess]


def until(condition: Callable[[], bool], seconds: float = LIMIT_S, why: str | Callable[[], str] = "") -> None:
    """Returns once it holds; fails where it does not within so many seconds, with what is to be told of it then."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds:.0f} s {why() if callable(why) else why}")
        time.sleep(0.05)


class Stored:
    """The content of an embedded store that no process has open."""

    def __init__(self, data: Path) -> None:
        connection = apsw.Connection(str(data / "memory-graph.db"), flags=apsw.SQLITE_OPEN_READONLY)
        types = ",".join(str(int(kind)) for kind in _TELEMETRY)
        rows = connection.execute(f"SELECT id FROM nodes WHERE type IN ({types}) ORDER BY n")
        self.events = [bytes(id).hex() for (id,) in rows]
        """Ids of the nodes of telemetry events, in the order they were stored, without hyphens."""
        self.edges = connection.execute("SELECT count(*) FROM edges").get
        connection.close()


def links(data: Path, kind: EdgeType) -> list[tuple[str, str]]:
    """The ends of the edges of a kind in it: ids from and to, without hyphens."""
    connection = apsw.Connection(str(data / "memory-graph.db"), flags=apsw.SQLITE_OPEN_READONLY)
    statement = "SELECT a.id, b.id FROM edges JOIN nodes a ON a.n = src JOIN nodes b ON b.n = dst WHERE edges.type = ?"
    ends = [(bytes(start).hex(), bytes(end).hex()) for start, end in connection.execute(statement, (int(kind),))]
    connection.close()
    return ends
