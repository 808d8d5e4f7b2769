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
    from memory_graph.worker.local_status import LocalStatus
    from memory_graph.worker.status import GroupStatus, TopicRate


_SAMPLE_INTERVAL_S = 2.0
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
    """Shows how far the workers are in each topic and partition, how fast, and which of them reads it, from two samples
    of the brokers of the settings, two seconds apart. On the host of a worker, as in its pod, also its buffer and its
    circuit breaker."""
    from memory_graph.kafka.connectivity import KafkaUnreachable, UnknownTopic  # noqa: PLC0415 - imported when the command runs
    from memory_graph.worker.local_status import local_status  # noqa: PLC0415
    from memory_graph.worker.status import group_status, topic_rates, worker_offsets  # noqa: PLC0415

    try:
        settings = _settings()
        first, began = worker_offsets(settings, timeout), time.monotonic()
        time.sleep(_SAMPLE_INTERVAL_S)
        group, seconds = group_status(settings, timeout), time.monotonic() - began
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    except UnknownTopic as error:
        raise Failure(str(error)) from None
    except KafkaUnreachable as error:
        raise Failure(str(error), UNREACHABLE) from None
    topics = topic_rates(first, [partition.offsets for partition in group.partitions], seconds)
    local = local_status(settings)
    if as_json:
        click.echo(json.dumps(_document(group, topics, local), ensure_ascii=False))
    else:
        _print(group, topics, local, settings.store)


def _work() -> None:
    from memory_graph.kafka.connectivity import KafkaUnreachable, UnknownTopic  # noqa: PLC0415 - `--help` is quick
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


def _document(status: GroupStatus, topics: list[TopicRate], local: LocalStatus | None) -> dict[str, object]:
    return {
        "group": status.group,
        "state": status.state,
        "members": status.members,
        "lag": status.lag,
        "dead_lettered": status.dead_lettered,
        "topics": [msgspec.to_builtins(topic) for topic in topics],
        "this_worker": msgspec.to_builtins(local),
        "partitions": [
            {
                "topic": partition.offsets.topic,
                "partition": partition.offsets.partition,
                "committed": partition.offsets.committed,
                "end": partition.offsets.end,
                "lag": partition.offsets.lag,
                "consumer": partition.consumer,
            }
            for partition in status.partitions
        ],
    }


def _print(status: GroupStatus, topics: list[TopicRate], local: LocalStatus | None, store: str) -> None:
    from memory_graph.cli.terminal import clean, print_table  # noqa: PLC0415 - rich is slow to import

    click.echo(f"group {status.group}   {status.state}   members {status.members}   lag {status.lag:,}")
    width = max(len(topic.topic) for topic in topics)
    for topic in topics:
        trend = "↑" if topic.lag_change > 0 else "↓" if topic.lag_change < 0 else "="
        count = status.dead_lettered.get(topic.topic, 0)
        rate = f"lag {topic.lag:,} ({trend})   {topic.per_second:,.0f} ev/s   dead-lettered {count:,}"
        click.echo(f"topic {topic.topic:<{width}}   {rate}{' (memory-graph dlq list)' if count else ''}")
    if local:
        click.echo(f"this worker   buffer {local.buffer_percent:.0f} %   breaker {store} {local.breaker}")
    click.echo()
    rows = [
        (
            partition.offsets.topic,
            str(partition.offsets.partition),
            "-" if partition.offsets.committed is None else f"{partition.offsets.committed:,}",
            f"{partition.offsets.end:,}",
            f"{partition.offsets.lag:,}",
            clean(partition.consumer or "-"),
        )
        for partition in status.partitions
    ]
    print_table(("TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "CONSUMER"), rows)
