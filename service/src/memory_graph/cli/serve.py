"""`memory-graph serve`."""

from __future__ import annotations

import sys

import click

from memory_graph import config
from memory_graph.cli.failure import WRONG_INPUT, Failure
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.plugins import PluginLoadError
from memory_graph.server import StartError, run


class _Settings(click.Command):
    """Adds the settings to the help page, from where they are declared."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Settings (environment)"):
            formatter.write_dl(
                [
                    (name.upper(), f"{field.description}{_default(field.default)}")
                    for name, field in config.Settings.model_fields.items()
                ]
            )


@click.command("serve", cls=_Settings)
def serve() -> None:
    """Runs the server until SIGTERM or Ctrl-C. Settings come from the environment; without any it keeps its store in
    the user's data directory and listens on 127.0.0.1:50051."""
    try:
        settings = config.load()
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    try:
        run(settings)
    except (StartError, StoreCorrupt, StoreUnavailable, PluginLoadError) as error:
        sys.stdout.flush()
        raise Failure(str(error)) from None


def _default(value: object) -> str:
    return f" [{value}]" if isinstance(value, int | str) and value != "" else ""
