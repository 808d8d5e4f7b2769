"""`memory-graph worker` and `memory-graph worker status`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from memory_graph import config
from memory_graph.cli.failure import UNREACHABLE, WRONG_INPUT, Failure
from memory_graph.cli.settings_help import SettingsHelp

if TYPE_CHECKING:
    from memory_graph.worker.status import GroupStatus


class _Worker(SettingsHelp, click.Group):
    unread = (
        "grpc_port", "plugin_", "max_", "request_", "feed_buffer", "telemetry_stream", "telemetry_patience", "tls_",
    )  # fmt: skip

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group.format_epilog(self, ctx, formatter)
        SettingsHelp.format_epilog(self, ctx, formatter)


@click.group("worker", cls=_Worker, invoke_without_command=True)
@click.pass_context
def worker(ctx: click.Context) -> None:
    """Reads events from Kafka into the graph until SIGTERM or Ctrl-C. Run as many as there are partitions: they share
    them. Offsets are committed after the graph has the events; what can never be stored goes to <topic>-dlq."""
    if ctx.invoked_subcommand is None:
        _work()


@worker.command("status", short_help="how far they are, partition by partition")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True,
    help="seconds for one question",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="answer in JSON")
def status(timeout: float, as_json: bool) -> None:
    """How far the workers are in each partition, and which of them reads it. Asks the brokers of the settings."""
    from memory_graph.kafka.reach import KafkaUnreachable, UnknownTopic  # noqa: PLC0415 - for those who run it
    from memory_graph.worker.status import group_status  # noqa: PLC0415

    try:
        found = group_status(_settings(), timeout)
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    except UnknownTopic as error:
        raise Failure(str(error)) from None
    except KafkaUnreachable as error:
        raise Failure(str(error), UNREACHABLE) from None
    if as_json:
        click.echo(json.dumps(_document(found), ensure_ascii=False))
    else:
        _print(found)


def _work() -> None:
    from memory_graph.kafka.reach import KafkaUnreachable, UnknownTopic  # noqa: PLC0415 - `--help` answers at once
    from memory_graph.model.errors import StoreCorrupt, StoreUnavailable  # noqa: PLC0415
    from memory_graph.plugins import PluginLoadError  # noqa: PLC0415
    from memory_graph.server import StartError  # noqa: PLC0415
    from memory_graph.worker.consumer import ConsumerFailed  # noqa: PLC0415
    from memory_graph.worker.process import run  # noqa: PLC0415

    try:
        run(_settings())
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    except KafkaUnreachable as error:
        sys.stdout.flush()
        raise Failure(str(error), UNREACHABLE) from None
    except (StartError, StoreCorrupt, StoreUnavailable, PluginLoadError, UnknownTopic, ConsumerFailed) as error:
        sys.stdout.flush()
        raise Failure(str(error)) from None


def _settings() -> config.Settings:
    try:
        return config.load()
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None


def _document(found: GroupStatus) -> dict[str, object]:
    return {
        "group": found.group,
        "state": found.state,
        "members": found.members,
        "lag": found.lag,
        "dead_lettered": found.dead_lettered,
        "partitions": [
            {
                "topic": one.progress.topic,
                "partition": one.progress.partition,
                "committed": one.progress.committed,
                "end": one.progress.end,
                "lag": one.progress.lag,
                "consumer": one.consumer,
            }
            for one in found.partitions
        ],
    }


def _print(found: GroupStatus) -> None:
    from memory_graph.cli.screen import clean, print_table  # noqa: PLC0415 - rich is slow to import

    click.echo(f"group {found.group}   {found.state}   members {found.members}   lag {found.lag:,}")
    for topic, count in found.dead_lettered.items():
        click.echo(f"dead-lettered {topic}: {count:,} (memory-graph dlq list)")
    click.echo()
    rows = [
        (
            one.progress.topic,
            str(one.progress.partition),
            "-" if one.progress.committed is None else f"{one.progress.committed:,}",
            f"{one.progress.end:,}",
            f"{one.progress.lag:,}",
            clean(one.consumer or "-"),
        )
        for one in found.partitions
    ]
    print_table(("TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "CONSUMER"), rows)
