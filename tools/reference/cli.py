"""The command line, from the help of its commands."""

from __future__ import annotations

from collections.abc import Iterator

import click

from memory_graph.cli import main
from tools.reference.markdown import document, listing, paragraph

_WIDTH = 100
_SETTINGS = "\nSettings (environment):"


def page() -> str:
    """The page: what --help prints for each command."""
    sections = [
        text for name, help_text in _commands(main, None, "memory-graph") for text in (f"## `{name}`", help_text)
    ]
    return document(
        "Command line",
        "the help of each command",
        paragraph(
            "`memory-graph` is the server and its client. Messages go to standard error. `serve`, `worker` and the"
            " commands for Kafka read [settings](settings.md) from the environment. Exit codes are in"
            " [errors](errors.md#exit-codes-of-memory-graph)."
        ),
        *sections,
    )


def _commands(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, parent, name.rpartition(" ")[2], terminal_width=_WIDTH)
    yield name, listing(command.get_help(context).partition(_SETTINGS)[0])
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            subcommand = command.get_command(context, child)
            assert subcommand is not None
            if not subcommand.hidden:
                yield from _commands(subcommand, context, f"{name} {child}")
