"""`memory-graph reset-offsets`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from memory_graph.cli.failure import WRONG_INPUT, Failure
from memory_graph.cli.kafka_settings import EPILOG, kafka_settings
from memory_graph.cli.time_option import parse_time_ms
from memory_graph.model.numbers import whole

if TYPE_CHECKING:
    from memory_graph.kafka.reset_offsets import ResetPlan


@click.command("reset-offsets", epilog=EPILOG)
@click.option("--topic", required=True, help="the topic that is read again")
@click.option(
    "--from", "start", required=True, metavar="TIME|OFFSET",
    help="where to go back to: a time (2h, 2026-11-21T09:00:00Z), an offset of each partition, or 'earliest'",
)  # fmt: skip
@click.option("--execute", is_flag=True, help="do it; without this only what would be done is shown")
@click.option("--json", "as_json", is_flag=True, help="answer in JSON")
def reset(topic: str, start: str, execute: bool, as_json: bool) -> None:
    """Lets the workers read a topic again from a time or an offset on.

    Their group is put back, as kafka-consumer-groups --reset-offsets does, and only back: so nothing is skipped, and
    what is in the graph already stays as it is. The workers must be stopped meanwhile: a group with members cannot be
    moved. Because it concerns all of them, it only shows what it would do until --execute is given."""
    from memory_graph.kafka.reset_offsets import (  # noqa: PLC0415 - imported when the command runs
        GroupActive,
        plan_reset,
        reset_offsets,
    )

    at, offset = _from(start)
    with kafka_settings() as settings:
        plan = plan_reset(settings, topic, at=at, offset=offset)
        try:
            if execute:
                reset_offsets(settings, plan)
        except GroupActive:
            raise Failure(
                f"group {plan.group} has members, nothing was moved: stop the workers first"
                " (kubectl scale deployment memory-graph-worker --replicas=0, or end them), and wait until"
                " `memory-graph worker status` says empty"
            ) from None
    if as_json:
        click.echo(json.dumps(_document(plan, done=execute), ensure_ascii=False))
    else:
        _print(plan, done=execute)


def _from(text: str) -> tuple[int | None, int | None]:
    """A time in milliseconds, or an offset."""
    if text == "earliest":
        return None, 0
    offset = whole(text)
    if offset is not None and offset >= 0:
        return None, offset
    try:
        return parse_time_ms(text), None
    except (ValueError, OverflowError):
        raise Failure(
            f"--from {text!r} is neither a time like 2h or 2026-11-21T09:00:00Z, nor an offset, nor 'earliest'",
            WRONG_INPUT,
        ) from None


def _document(plan: ResetPlan, *, done: bool) -> dict[str, object]:
    return {
        "group": plan.group,
        "done": done,
        "records": sum(partition.records for partition in plan.partitions),
        "partitions": [
            {
                "topic": partition.current.topic,
                "partition": partition.current.partition,
                "committed": partition.current.committed,
                "target": partition.current.committed if partition.target is None else partition.target,
                "records": partition.records,
            }
            for partition in plan.partitions
        ],
    }


def _print(plan: ResetPlan, *, done: bool) -> None:
    from memory_graph.cli.terminal import print_table  # noqa: PLC0415 - rich is slow to import

    rows = [
        (
            str(partition.current.partition),
            "-" if partition.current.committed is None else f"{partition.current.committed:,}",
            "stays" if partition.target is None else f"{partition.target:,}",
            f"{partition.records:,}",
        )
        for partition in plan.partitions
    ]
    print_table(("PARTITION", "COMMITTED", "GOES BACK TO", "READ AGAIN"), rows)
    records = sum(partition.records for partition in plan.partitions)
    if done:
        click.echo(f"group {plan.group} reads {records:,} records again when its workers start")
        return
    members = f"; it has {plan.members} members, which must be stopped before" if plan.members else ""
    click.echo(f"group {plan.group} would read {records:,} records again{members}. --execute does it")
