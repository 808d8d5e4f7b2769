# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A wait whose clock and watches are a test's, and recorded objects for these to show."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait import _wait

ALL = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "kinds" / "data" / "recorded.jsonl").read_text().splitlines()
]


def recorded(kind, name):
    matches = [obj for obj in ALL if obj["kind"] == kind and obj["metadata"]["name"].startswith(name)]
    return copy.deepcopy(matches[0])


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


class EmptyCluster:
    """A cluster without objects."""

    def __init__(self):
        self.events = []

    def list(self, _path, selector="", fields=""):
        return iter(self.events)

    def find(self, _path):
        return None

    def text(self, _path, _query):
        return "last words\n"


class WaitHarness:
    """A wait whose clock and watches are the test's."""

    def __init__(self, monkeypatch):
        self.clock, self.cluster, self.lines = Clock(), EmptyCluster(), []
        monkeypatch.setattr(_wait, "time", SimpleNamespace(monotonic=self.clock.monotonic))

    def begin(self, *objects, action="created"):
        steps = [Step(obj, ref(obj), after=obj, action=action) for obj in objects]
        self.waiter = _wait._Waiter(self.cluster, steps, lambda _label, text: self.lines.append(text))
        self.waiter.received = True
        return self

    def show(self, *objects):
        for obj in objects:
            self.waiter.cache.update("watch", {"type": "MODIFIED", "object": copy.deepcopy(obj)})
        self.waiter._judge_all()
        return self

    def after(self, seconds):
        self.clock.now += seconds
        self.waiter._judge_all()
        return self

    def state(self, name):
        (status,) = [status for status in self.waiter.status.values() if str(status.ref) == name]
        return status.state
