"""`memory-graph replay`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from memory_graph.cli.brokers import EPILOG, brokers
from memory_graph.cli.failure import WRONG_INPUT, Failure
from memory_graph.cli.moment import milliseconds
from memory_graph.model.numbers import whole

if TYPE_CHECKING:
    from memory_graph.kafka.rewind import Plan


@click.command("replay", epilog=EPILOG)
@click.option("--topic", required=True, help="the topic that is read again")
@click.option(
    "--from", "begin", required=True, metavar="TIME|OFFSET",
    help="where to go back to: a time (2h, 2026-11-21T09:00:00Z), an offset of each partition, or 'earliest'",
)  # fmt: skip
@click.option("--execute", is_flag=True, help="do it; without this only what would be done is shown")
@click.option("--json", "as_json", is_flag=True, help="answer in JSON")
def replay(topic: str, begin: str, execute: bool, as_json: bool) -> None:
    """Lets the workers read a topic again from a time or an offset on.

    Their group is put back, as kafka-consumer-groups --reset-offsets does, and only back: so nothing is skipped, and
    what is in the graph already stays as it is. The workers must be stopped meanwhile: a group with members cannot be
    moved. Because it concerns all of them, it only shows what it would do until --execute is given."""
    from memory_graph.kafka.rewind import GroupActive, plan, rewind  # noqa: PLC0415 - for those who run it

    at, offset = _from(begin)
    with brokers() as settings:
        planned = plan(settings, topic, at=at, offset=offset)
        try:
            if execute:
                rewind(settings, planned)
        except GroupActive:
            raise Failure(
                f"group {planned.group} has members, nothing was moved: stop the workers first"
                " (kubectl scale deployment memory-graph-worker --replicas=0, or end them), and wait until"
                " `memory-graph worker status` says empty"
            ) from None
    if as_json:
        click.echo(json.dumps(_document(planned, done=execute), ensure_ascii=False))
    else:
        _print(planned, done=execute)


def _from(text: str) -> tuple[int | None, int | None]:
    """A time in milliseconds, or an offset."""
    if text == "earliest":
        return None, 0
    offset = whole(text)
    if offset is not None and offset >= 0:
        return None, offset
    try:
        return milliseconds(text), None
    except (ValueError, OverflowError):
        raise Failure(
            f"--from {text!r} is neither a time like 2h or 2026-11-21T09:00:00Z, nor an offset, nor 'earliest'",
            WRONG_INPUT,
        ) from None


def _document(planned: Plan, *, done: bool) -> dict[str, object]:
    return {
        "group": planned.group,
        "done": done,
        "records": sum(one.again for one in planned.partitions),
        "partitions": [
            {
                "topic": one.now.topic,
                "partition": one.now.partition,
                "committed": one.now.committed,
                "target": one.now.committed if one.target is None else one.target,
                "records": one.again,
            }
            for one in planned.partitions
        ],
    }


def _print(planned: Plan, *, done: bool) -> None:
    from memory_graph.cli.screen import print_table  # noqa: PLC0415 - rich is slow to import

    rows = [
        (
            str(one.now.partition),
            "-" if one.now.committed is None else f"{one.now.committed:,}",
            "stays" if one.target is None else f"{one.target:,}",
            f"{one.again:,}",
        )
        for one in planned.partitions
    ]
    print_table(("PARTITION", "COMMITTED", "GOES BACK TO", "READ AGAIN"), rows)
    records = sum(one.again for one in planned.partitions)
    if done:
        click.echo(f"group {planned.group} reads {records:,} records again when its workers start")
        return
    members = f"; it has {planned.members} members, which must be stopped before" if planned.members else ""
    click.echo(f"group {planned.group} would read {records:,} records again{members}. --execute does it")
