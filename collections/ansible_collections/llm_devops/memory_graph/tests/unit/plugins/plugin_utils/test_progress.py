# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When progress is shown, and what becomes of lines that are no progress."""

from __future__ import annotations

import signal
import threading

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils import progress

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
    results = Screen()
    monkeypatch.setattr(progress, "display", results)
    return results


@pytest.mark.parametrize(
    ("terminal", "job", "verbosity", "expected"),
    [(True, "", 0, True), (True, "7", 0, False), (False, "", 0, False), (False, "7", 1, True), (True, "7", 1, True)],
    ids=["terminal", "AWX", "pipe", "AWX -v", "terminal of AWX -v"],
)
def test_when_progress_is_wanted(monkeypatch, screen, terminal, job, verbosity, expected):
    monkeypatch.setattr(progress, "TERMINAL", terminal)
    monkeypatch.setenv("JOB_ID", job)
    screen.verbosity = verbosity
    assert progress.is_progress_wanted() is expected


def test_lines_that_are_no_progress_are_passed_over():
    assert list(progress._entries(BROKEN)) == [("plan", "1 to create")]


def test_half_a_line_is_shown_when_the_rest_has_come(tmp_path, screen, monkeypatch):
    monkeypatch.setattr(progress, "PAUSE", 0.01)
    file, done = tmp_path / "progress", threading.Event()
    printed = threading.Event()
    monkeypatch.setattr(screen, "display", lambda text: (screen.lines.append(text), printed.set()))
    thread = threading.Thread(target=progress.show, args=(file, "", done, threading.Lock()))
    thread.start()
    with file.open("wb", buffering=0) as stream:
        stream.write(LINES + LINES[:10])
        assert printed.wait(20)
        assert screen.lines == ["plan        1 to create"]
        stream.write(LINES[10:])
    done.set()
    thread.join(20)
    assert screen.lines == ["plan        1 to create"] * 2


def test_without_a_file_it_ends(tmp_path, screen):
    done = threading.Event()
    done.set()
    thread = threading.Thread(target=progress.show, args=(tmp_path / "missing", "", done, threading.Lock()))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert screen.lines == []


def test_a_worker_ends_after_the_line_that_is_on_its_way():
    reported = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: reported.append("ended"))
    line, began = threading.Lock(), threading.Event()

    def show():
        with line:
            began.set()
            signalled.wait(20)
            reported.append("line out")

    signalled = threading.Event()
    thread = threading.Thread(target=show)
    try:
        with progress.ended_between_lines(line):
            thread.start()
            assert began.wait(20)
            threading.Timer(0.2, signalled.set).start()
            signal.raise_signal(signal.SIGTERM)
            assert reported == ["line out", "ended"]
        signal.raise_signal(signal.SIGTERM)
        assert reported == ["line out", "ended", "ended"]
    finally:
        signal.signal(signal.SIGTERM, before)
        thread.join(20)


@pytest.mark.parametrize(("hosts", "output"), [([], ""), (["a"], ""), (["a", "b"], "a: ")])
def test_lines_name_their_host_where_there_are_several(hosts, output):
    assert progress.host_prefix({"ansible_play_hosts_all": hosts, "inventory_hostname": "a"}) == output


@pytest.mark.parametrize("ending", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_the_module_ends_the_thread(screen, ending):
    before = threading.active_count()

    def ended():
        with progress.progress_display({}) as printed:
            printed.start()
            printed.file.write_bytes(LINES)
            raise ending

    with pytest.raises(ending):
        ended()
    assert threading.active_count() == before
    assert screen.lines == ["plan        1 to create"]
