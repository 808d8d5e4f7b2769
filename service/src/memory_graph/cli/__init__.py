"""`memory-graph`: the server, and a client for people and scripts.

Only click is imported here: each command's module is imported when the command runs, so that `--help` and a wrong
option answer at once.
"""

from __future__ import annotations

import importlib

import click


class LazyGroup(click.Group):
    """A group whose commands are named `module:attribute` and imported when they are used."""

    def __init__(self, *, name: str, lazy: dict[str, tuple[str, str]], help: str) -> None:
        super().__init__(name=name, help=help, no_args_is_help=True)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"memory_graph.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the summaries here: a help page must not import what every command needs."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._lazy.items()])


_session = LazyGroup(
    name="session",
    help="Make, look at and end sessions.",
    lazy={
        "create": ("session:create", "make a session, print its id"),
        "list": ("session:list_sessions", "newest sessions first"),
        "show": ("session:show", "draw a session as a tree"),
        "close": ("session:close", "end a session; it can be read, not added to"),
        "delete": ("session:delete", "delete a session and everything in it"),
    },
)
_prompt = LazyGroup(
    name="prompt",
    help="Record prompts.",
    lazy={"add": ("record:add_prompt", "add a prompt to a session, print its id")},
)
_response = LazyGroup(
    name="response",
    help="Record responses.",
    lazy={"add": ("record:add_response", "add a response to a prompt, print its id")},
)
_template = LazyGroup(
    name="template",
    help="Make prompts from templates.",
    lazy={
        "create": ("template:create", "store a template, print its id"),
        "instantiate": ("template:instantiate", "add a prompt made from a template, print its id"),
    },
)
_dlq = LazyGroup(
    name="dlq",
    help="Dead letters: records from Kafka that can never be stored as they are.",
    lazy={
        "list": ("dlq:list_letters", "those that wait, newest first, and why"),
        "show": ("dlq:show", "one of them whole: reason, origin, headers, body"),
        "redrive": ("dlq:redrive", "send them back to where they came from"),
    },
)
_GROUPS = {"session": _session, "prompt": _prompt, "response": _response, "template": _template, "dlq": _dlq}


_RENAMED = {"replay": "reset-offsets"}
"""Former names of commands, which work for one release."""


class _Root(LazyGroup):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = _RENAMED.get(args[0])
        if name is None:
            return super().resolve_command(ctx, args)
        if not ctx.resilient_parsing:
            click.echo(
                f"memory-graph: {args[0]} is now called {name}; the old name goes with the next release", err=True
            )
        return super().resolve_command(ctx, [name, *args[1:]])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _GROUPS.get(cmd_name) or super().get_command(ctx, cmd_name)


main = _Root(
    name="memory-graph",
    help="A memory graph for LLM applications: sessions, prompts, responses, tool calls and agents.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 not found, 4 server not reachable or too slow.",
    lazy={
        "serve": ("serve:serve", "run the server; settings come from the environment"),
        "worker": ("worker:worker", "read events from Kafka into the graph; worker status: how far they are"),
        "dlq": ("", "list, show, redrive"),
        "reset-offsets": ("reset_offsets:reset", "let the workers read a topic again from a time or an offset"),
        "session": ("", "create, list, show, close, delete"),
        "prompt": ("", "add"),
        "response": ("", "add"),
        "template": ("", "create, instantiate"),
        "query": ("query:query", "find nodes by session, type, time, attributes and text"),
        "watch": ("watch:watch", "follow what changes, live"),
        "import": ("transfer:import_", "write a JSON Lines file into the graph"),
        "export": ("transfer:export", "write the graph as JSON Lines"),
        "migrate": ("migrate:migrate", "move a graph from the embedded store to Neo4j"),
        "health": ("status:health", "ask the server whether it serves"),
        "version": ("status:version", "print the version of this program"),
    },
)
