# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When the action plugin shows progress, and what it does with lines that are no progress."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.action import release

LINES = b'{"label": "plan", "text": "1 to create"}\n'
BROKEN = b'{"label": "pl\n[]\nnull\n\xff\xfe\n{"label": "x"}\n' + LINES


class Screen:
    """Keeps what is displayed."""

    def __init__(self, verbosity: int = 0) -> None:
        self.verbosity, self.lines = verbosity, []

    def display(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def screen(monkeypatch):
    found = Screen()
    monkeypatch.setattr(release, "display", found)
    return found


@pytest.mark.parametrize(
    ("terminal", "job", "verbosity", "wanted"),
    [(True, "", 0, True), (True, "7", 0, False), (False, "", 0, False), (False, "7", 1, True), (True, "7", 1, True)],
    ids=["terminal", "AWX", "pipe", "AWX -v", "terminal of AWX -v"],
)
def test_when_progress_is_wanted(monkeypatch, screen, terminal, job, verbosity, wanted):
    monkeypatch.setattr(release, "TERMINAL", terminal)
    monkeypatch.setenv("JOB_ID", job)
    screen.verbosity = verbosity
    assert release.is_progress_wanted() is wanted


def test_lines_that_are_no_progress_are_passed_over():
    assert list(release._entries(BROKEN)) == [("plan", "1 to create")]


def test_half_a_line_is_shown_when_the_rest_has_come(tmp_path, screen, monkeypatch):
    monkeypatch.setattr(release, "PAUSE", 0.01)
    file, done = tmp_path / "progress", threading.Event()
    shown = threading.Event()
    monkeypatch.setattr(screen, "display", lambda text: (screen.lines.append(text), shown.set()))
    thread = threading.Thread(target=release.show, args=(file, "", done, threading.Lock()))
    thread.start()
    with file.open("wb", buffering=0) as stream:
        stream.write(LINES + LINES[:10])
        assert shown.wait(20)
        assert screen.lines == ["plan        1 to create"]
        stream.write(LINES[10:])
    done.set()
    thread.join(20)
    assert screen.lines == ["plan        1 to create"] * 2


def test_without_a_file_it_ends(tmp_path, screen):
    done = threading.Event()
    done.set()
    thread = threading.Thread(target=release.show, args=(tmp_path / "missing", "", done, threading.Lock()))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert screen.lines == []


def test_a_worker_ends_after_the_line_that_is_on_its_way():
    told = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.append("ended"))
    line, began = threading.Lock(), threading.Event()

    def show():
        with line:
            began.set()
            signalled.wait(20)
            told.append("line out")

    signalled = threading.Event()
    thread = threading.Thread(target=show)
    try:
        with release.ended_between_lines(line):
            thread.start()
            assert began.wait(20)
            threading.Timer(0.2, signalled.set).start()
            signal.raise_signal(signal.SIGTERM)
            assert told == ["line out", "ended"]
        signal.raise_signal(signal.SIGTERM)
        assert told == ["line out", "ended", "ended"]
    finally:
        signal.signal(signal.SIGTERM, before)
        thread.join(20)


def action(screen, **differences):
    """The plugin of a task on this machine, but for the differences."""
    task = {"async_val": 0, "args": {}} | differences.pop("task", {})
    connection = {"transport": "local", "become": None, "has_native_async": False} | differences
    plugin = object.__new__(release.ActionModule)
    plugin._task, plugin._connection = SimpleNamespace(**task), SimpleNamespace(**connection)
    screen.verbosity = 1
    return plugin


@pytest.mark.parametrize(
    ("differences", "shown"),
    [
        ({}, True),
        ({"transport": "ansible.builtin.local"}, True),
        ({"transport": "ssh"}, False),
        ({"become": object()}, False),
        ({"task": {"async_val": 30}}, False),
    ],
    ids=["local", "full name", "another machine", "another user", "async"],
)
def test_a_file_beside_us_is_only_asked_for_where_it_can_be(screen, differences, shown):
    assert action(screen, **differences)._can_show({}) is shown


def test_a_progress_file_of_the_user_stays_theirs(screen):
    assert not action(screen)._can_show({"progress_file": "/somewhere"})


@pytest.mark.parametrize(("hosts", "said"), [([], ""), (["a"], ""), (["a", "b"], "a: ")])
def test_lines_name_their_host_where_there_are_several(hosts, said):
    assert release.host_prefix({"ansible_play_hosts_all": hosts, "inventory_hostname": "a"}) == said


@pytest.mark.parametrize("ending", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_the_module_ends_the_thread(screen, monkeypatch, ending):
    plugin = action(screen)
    before = threading.active_count()

    def execute(name, arguments, task_vars, **more):
        with Path(arguments["progress_file"]).open("w") as stream:
            stream.write(json.dumps({"label": "apply", "text": "1/2"}) + "\n")
        raise ending

    monkeypatch.setattr(release.ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(plugin, "_execute_module", execute, raising=False)
    with pytest.raises(ending):
        plugin.run(task_vars={})
    assert threading.active_count() == before
    assert screen.lines == ["apply       1/2"]
