# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A watch is opened again until the API server refuses it."""

from __future__ import annotations

import json
import queue
import threading

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, Unreachable
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait._watch import (
    CollectionWatch,
    ConnectionLost,
    WatchOpened,
    WatchRefused,
)


class WatchResponse:
    """A watch that shows some events and then stays open until it is closed."""

    def __init__(self, *events, ends=False):
        self._events, self._ends, self._shut = events, ends, threading.Event()

    def stream(self, _size):
        yield from (json.dumps(event).encode() + b"\n" for event in self._events)
        if not self._ends:
            self._shut.wait(30)

    def shutdown(self):
        self._shut.set()


class ScriptedCluster:
    """A cluster whose watches end as told, one after the other."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def stream(self, _path, _query):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_watch_is_opened_again_until_it_is_refused(monkeypatch):
    monkeypatch.setattr(
        "ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait._watch.RECOVERY_INTERVAL_S", 0
    )
    event = {"type": "ADDED", "object": {"kind": "Pod"}}
    refusal = ApiError(403, {}, "may not")
    script = ScriptedCluster(
        WatchResponse(event, ends=True), Unreachable("gone", "wait"), ApiError(503, {}, "busy"), refusal
    )
    sink = queue.SimpleQueue()
    watch = CollectionWatch(script, "/api/v1/pods", {}, sink)
    watch.run()
    messages = [sink.get_nowait() for _index in range(sink.qsize())]
    assert [type(message) for message in messages] == [WatchOpened, tuple, ConnectionLost, ConnectionLost, WatchRefused]
    assert messages[1] == (watch, event)
    assert messages[4].error is refusal
