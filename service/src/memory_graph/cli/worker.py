"""`memory-graph worker` and `memory-graph worker status`."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec

from memory_graph import config
from memory_graph.cli.failure import TASK_FAILED, UNREACHABLE, WRONG_INPUT, Failure
from memory_graph.cli.settings_help import SettingsHelp

if TYPE_CHECKING:
    from memory_graph.worker.own import Own
    from memory_graph.worker.status import GroupStatus, TopicPace


_BETWEEN_LOOKS_S = 2.0
"""Workers commit offsets twice a second."""


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
    """How far the workers are in each topic and partition, how fast, and which of them reads it: two looks at the
    brokers of the settings, two seconds apart. Beside a worker, as in its pod, also what that one says of its buffer
    and its store."""
    from memory_graph.kafka.reach import KafkaUnreachable, UnknownTopic  # noqa: PLC0415 - for those who run it
    from memory_graph.worker.own import own  # noqa: PLC0415
    from memory_graph.worker.status import group_progress, group_status, paces  # noqa: PLC0415

    try:
        settings = _settings()
        first, began = group_progress(settings, timeout), time.monotonic()
        time.sleep(_BETWEEN_LOOKS_S)
        found, seconds = group_status(settings, timeout), time.monotonic() - began
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    except UnknownTopic as error:
        raise Failure(str(error)) from None
    except KafkaUnreachable as error:
        raise Failure(str(error), UNREACHABLE) from None
    topics = paces(first, [one.progress for one in found.partitions], seconds)
    mine = own(settings)
    if as_json:
        click.echo(json.dumps(_document(found, topics, mine), ensure_ascii=False))
    else:
        _print(found, topics, mine, settings.store)


def _work() -> None:
    from memory_graph.kafka.reach import KafkaUnreachable, UnknownTopic  # noqa: PLC0415 - `--help` answers at once
    from memory_graph.model.errors import StoreCorrupt, StoreUnavailable  # noqa: PLC0415
    from memory_graph.plugins import PluginLoadError  # noqa: PLC0415
    from memory_graph.runtime.opening import StartError  # noqa: PLC0415
    from memory_graph.runtime.supervisor import TaskFailed  # noqa: PLC0415
    from memory_graph.worker.process import run  # noqa: PLC0415

    try:
        run(_settings())
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    except KafkaUnreachable as error:
        sys.stdout.flush()
        raise Failure(str(error), UNREACHABLE) from None
    except (StartError, StoreCorrupt, StoreUnavailable, PluginLoadError, UnknownTopic) as error:
        sys.stdout.flush()
        raise Failure(str(error)) from None
    except TaskFailed as error:
        sys.stdout.flush()
        raise Failure(str(error), TASK_FAILED) from None


def _settings() -> config.Settings:
    try:
        return config.load()
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None


def _document(found: GroupStatus, topics: list[TopicPace], mine: Own | None) -> dict[str, object]:
    return {
        "group": found.group,
        "state": found.state,
        "members": found.members,
        "lag": found.lag,
        "dead_lettered": found.dead_lettered,
        "topics": [msgspec.to_builtins(one) for one in topics],
        "this_worker": msgspec.to_builtins(mine),
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


def _print(found: GroupStatus, topics: list[TopicPace], mine: Own | None, store: str) -> None:
    from memory_graph.cli.screen import clean, print_table  # noqa: PLC0415 - rich is slow to import

    click.echo(f"group {found.group}   {found.state}   members {found.members}   lag {found.lag:,}")
    width = max(len(one.topic) for one in topics)
    for one in topics:
        way = "↑" if one.lag_change > 0 else "↓" if one.lag_change < 0 else "="
        letters = found.dead_lettered.get(one.topic, 0)
        pace = f"lag {one.lag:,} ({way})   {one.per_second:,.0f} ev/s   dead-lettered {letters:,}"
        click.echo(f"topic {one.topic:<{width}}   {pace}{' (memory-graph dlq list)' if letters else ''}")
    if mine:
        click.echo(f"this worker   buffer {mine.buffer_percent:.0f} %   breaker {store} {mine.breaker}")
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
