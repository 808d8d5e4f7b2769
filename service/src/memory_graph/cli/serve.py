"""`memory-graph serve`."""

from __future__ import annotations

import sys

import click

from memory_graph import config
from memory_graph.cli.failure import TASK_FAILED, WRONG_INPUT, Failure
from memory_graph.cli.settings_help import SettingsHelp
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.plugins import PluginLoadError
from memory_graph.runtime.opening import StartError
from memory_graph.runtime.supervisor import TaskFailed
from memory_graph.server import run


@click.command("serve", cls=SettingsHelp)
def serve() -> None:
    """Runs the server until SIGTERM or Ctrl-C. Settings come from the environment; without any it keeps its store in
    the user's data directory and listens on 127.0.0.1:50051."""
    try:
        run(config.load())
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    except (StartError, StoreCorrupt, StoreUnavailable, PluginLoadError) as error:
        sys.stdout.flush()
        raise Failure(str(error)) from None
    except TaskFailed as error:
        sys.stdout.flush()
        raise Failure(str(error), TASK_FAILED) from None
