# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A wait of which a test holds the clock and says what the watches show, and recorded objects to show."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait import _wait

ALL = [json.loads(line) for line in (Path(__file__).parent / "data" / "recorded.jsonl").read_text().splitlines()]


def recorded(kind, name):
    found = [one for one in ALL if one["kind"] == kind and one["metadata"]["name"].startswith(name)]
    return copy.deepcopy(found[0])


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


class Nothing:
    """A cluster in which nothing is found."""

    def __init__(self):
        self.events = []

    def list(self, _path, selector="", fields=""):
        return iter(self.events)

    def find(self, _path):
        return None

    def text(self, _path, _query):
        return "last words\n"


class Waiting:
    """A wait of which the test holds the clock and says what the watches show."""

    def __init__(self, monkeypatch):
        self.clock, self.cluster, self.said = Clock(), Nothing(), []
        monkeypatch.setattr(_wait, "time", SimpleNamespace(monotonic=self.clock.monotonic))

    def begin(self, *objects, action="created"):
        steps = [Step(one, ref(one), after=one, action=action) for one in objects]
        self.waiter = _wait._Waiter(self.cluster, steps, lambda _label, text: self.said.append(text))
        self.waiter.heard = True
        return self

    def show(self, *objects):
        for one in objects:
            self.waiter.evidence.note("watch", {"type": "MODIFIED", "object": copy.deepcopy(one)})
        self.waiter._judge_all()
        return self

    def after(self, seconds):
        self.clock.now += seconds
        self.waiter._judge_all()
        return self

    def state(self, name):
        (status,) = [one for one in self.waiter.status.values() if str(one.ref) == name]
        return status.state
