"""`watch` follows the change feed and resumes where it was."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import sys
import threading

import pytest

LIMIT_S = 120


class WatchProcess:
    """A running `memory-graph watch`; next_event() waits for its next line."""

    def __init__(self, address, *arguments):
        # Whoever runs the tests in the background has SIGINT ignored, which a child would inherit.
        watch = [sys.executable, "-m", "memory_graph.cli", "watch", "--address", address, *arguments]
        command = ["env", "--default-signal=INT", *watch]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.events, self.notes = queue.Queue(), queue.Queue()
        for stream, lines in ((self.process.stdout, self.events), (self.process.stderr, self.notes)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.put(line)

    def next_event(self):
        return self.events.get(timeout=LIMIT_S)


@pytest.fixture
def watch():
    started = []

    def start(address, *arguments):
        started.append(WatchProcess(address, *arguments))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(LIMIT_S)


def poked(watching, poke):
    """The first event. The server does not tell when a subscription has begun: change something until one comes."""
    for _ in range(LIMIT_S):
        poke()
        try:
            return watching.events.get(timeout=1)
        except queue.Empty:
            continue
    raise AssertionError("no event came")


def until(watching, id):
    """Events up to the one about a node."""
    seen = []
    while not seen or seen[-1]["id"] != id:
        seen.append(json.loads(watching.next_event()))
    return seen


def test_follows_one_session_and_ends_on_interrupt(cli, shared_server, watch):
    session, other = (cli("session", "create").out.strip() for _ in range(2))
    watching = watch(shared_server.address, "--session", session, "--json")
    poked(watching, lambda: cli("prompt", "add", session, "here"))
    cli("prompt", "add", other, "elsewhere")
    prompt = cli("prompt", "add", session, "here").out.strip()
    events = until(watching, prompt)
    assert {event["session_id"] for event in events} == {session}
    assert (events[-1]["type"], events[-1]["kind"]) == ("node_created", "PROMPT")
    watching.process.send_signal(signal.SIGINT)
    assert watching.process.wait(LIMIT_S) == 0


def test_resumes_after_the_server_was_restarted(serve, cli, watch, tmp_path):
    server = serve(tmp_path / "graph")
    watching = watch(server.address, "--json")
    poked(watching, lambda: cli("session", "create", address=server.address))
    before = cli("session", "create", address=server.address).out.strip()
    until(watching, before)
    assert server.stop() == 0
    assert re.search(r"resuming after event \d+\.\d+", watching.notes.get(timeout=LIMIT_S))
    again = serve(tmp_path / "graph", GRPC_PORT=server.port)
    session_ids = [cli("session", "create", address=again.address).out.strip() for _ in range(3)]
    assert [event["id"] for event in until(watching, session_ids[-1])] == session_ids, "nothing twice, nothing lost"


def test_lines_for_people(cli, shared_server, watch):
    session = cli("session", "create").out.strip()
    watching = watch(shared_server.address, "--session", session)
    line = poked(watching, lambda: cli("prompt", "add", session, "here"))
    assert re.search(rf"^ *\d+\.\d+  \d\d:\d\d:\d\d  \w+_created .*  session {session}$", line)


def test_an_unreachable_server_and_an_unknown_session_end_it(cli):
    assert cli("watch", address="127.0.0.1:1").code == 4
    assert cli("watch", "--session", "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77").code == 3
    assert cli("watch", "--after", "yesterday").code == 2
