"""Breaks background tasks of a real process from inside: a plugin that does as a pipe tells it."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from support.server import ServerProcess

SOFTWARE_ERROR = 70
FAILURES = "memory_graph_background_task_failures_total"
PLUGIN = """
import asyncio, os, threading
from memory_graph.plugins import Plugin

class Saboteur(Plugin):
    name = "saboteur"

def listen(loop):
    with open(os.environ["SABOTAGE"]) as pipe:
        how, task = pipe.read().split()
    loop.call_soon_threadsafe(end, loop, how, task)

def end(loop, how, name):
    (task,) = [task for task in asyncio.all_tasks(loop) if task.get_name() == name]
    waiter = task._fut_waiter
    if how == "cancel":
        task.cancel()
    elif waiter is None or waiter.done():  # the task is about to run: let it, until it waits again
        loop.call_soon(end, loop, how, name)
    else:  # what the task waits for raises, inside the task
        waiter.set_exception(LookupError("sabotage"))

threading.Thread(target=listen, args=(asyncio.get_running_loop(),), daemon=True).start()
"""


class Saboteur:
    """settings: of the process to be sabotaged."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "saboteur.py").write_text(PLUGIN)
        self._pipe = folder / "pipe"
        os.mkfifo(self._pipe)
        self.settings = {"PLUGIN_DIRS": str(folder), "SABOTAGE": str(self._pipe)}

    def end(self, task: str, how: str) -> None:
        """Ends the task of that name. how: `raise` or `cancel`."""
        self._pipe.write_text(f"{how} {task}")


def http_status(server: ServerProcess, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}{path}", timeout=30) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def failures(server: ServerProcess) -> dict[str, float]:
    """By task, as its metrics have it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=30) as reply:
        families = text_string_to_metric_families(reply.read().decode())
        samples = [sample for family in families for sample in family.samples if sample.name == FAILURES]
    return {sample.labels["task"]: sample.value for sample in samples}


def ended_for(server: ServerProcess, task: str, reason: str) -> None:
    """Ends soon, with the exit code, the log line and the sentence that say so."""
    assert server.wait() == SOFTWARE_ERROR
    line, *_ = [line for line in server.log if line["message"] == "background task ended"]
    assert (line["level"], line["task"], line["reason"]) == ("critical", task, reason)
    assert server.output[-1].startswith(f"memory-graph: background task {task} ended: {reason}")
