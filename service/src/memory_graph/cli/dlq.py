"""`memory-graph dlq list|show|redrive`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click

from memory_graph.cli.failure import FAILED, NOT_FOUND, WRONG_INPUT, Failure
from memory_graph.cli.kafka_settings import EPILOG, kafka_settings
from memory_graph.cli.progress import ProgressBar
from memory_graph.cli.time_option import time_option

if TYPE_CHECKING:
    from memory_graph.kafka.dlq_reader import Backlog, DeadLetterReader, OffsetRange, RecordId
    from memory_graph.kafka.redrive import RedriveResult

_RECORD_ID = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>[0-9]{1,9})/(?P<offset>[0-9]{1,18})")
_topic = click.option(
    "--topic", "topics", multiple=True, help="only letters of this topic; repeatable; by default of those workers read"
)
_json = click.option("--json", "as_json", is_flag=True, help="answer in JSON")


def _parse_record_id(_context: click.Context, parameter: click.Parameter, value: str) -> RecordId:
    """Parse an argument that names a dead letter: `<topic>/<partition>/<offset>`, as `dlq list` prints it."""
    from memory_graph.kafka.dead_letters import SUFFIX  # noqa: PLC0415 - imported when the command runs

    match = _RECORD_ID.fullmatch(value)
    if match is None or not match["topic"].endswith(SUFFIX):
        raise click.BadParameter(
            f"{value!r} is no letter; give one as `dlq list` prints it: topic{SUFFIX}/0/17", param=parameter
        )
    return match["topic"], int(match["partition"]), int(match["offset"])


def _parse_record_ids(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[RecordId, ...]:
    """Parse an argument that names several dead letters."""
    return tuple(_parse_record_id(context, parameter, value) for value in values)


@click.command("list", epilog=EPILOG)
@_topic
@click.option("--reason", help="only letters with this reason, the word before the colon")
@click.option(
    "--since",
    callback=time_option,
    metavar="TIME",
    help="only letters given up since then: 2h, or 2026-11-21T09:00:00Z",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@_json
def list_letters(topics: tuple[str, ...], reason: str | None, since: int | None, limit: int, as_json: bool) -> None:
    """Lists the dead letters that wait, newest first. Those that were sent back do not wait any more."""
    from memory_graph.cli import dlq_view  # noqa: PLC0415 - imported when the command runs
    from memory_graph.kafka.dlq_reader import DeadLetterReader  # noqa: PLC0415
    from memory_graph.kafka.redrive import select  # noqa: PLC0415

    with kafka_settings() as settings, DeadLetterReader(settings) as reader:
        backlog = _read_backlog(reader, reader.ranges(reader.topics(topics), since))
    dead_letters = sorted(select(backlog, (), reason), key=lambda dead_letter: dead_letter.at, reverse=True)
    if as_json:
        document = {
            "waiting": len(dead_letters),
            "letters": [dlq_view.document(dead_letter) for dead_letter in dead_letters[:limit]],
        }
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    dlq_view.print_list(dead_letters, limit)


@click.command("show", epilog=EPILOG)
@click.argument("record_id", callback=_parse_record_id, metavar="RECORD")
@_json
def show(record_id: RecordId, as_json: bool) -> None:
    """Shows a dead letter whole: why it is one, where it came from, its headers and its body."""
    from memory_graph.cli import dlq_view  # noqa: PLC0415 - imported when the command runs
    from memory_graph.kafka.dlq_reader import (  # noqa: PLC0415
        DeadLetterReader,
        OffsetRange,
        marked_offset,
        message_headers,
        parse_dead_letter,
    )

    topic, partition, offset = record_id
    with kafka_settings() as settings, DeadLetterReader(settings) as reader:
        end = next((range.end for range in reader.ranges([topic]) if range.partition == partition), 0)
        record = [OffsetRange(topic, partition, offset, offset + 1)] if offset < end else []
        message = next(iter(reader.read(record)), None)
        if message is None or message.offset() != offset or marked_offset(message) is not None:
            raise Failure(
                f"there is no letter {_text(record_id)}; `memory-graph dlq list` names those that wait", NOT_FOUND
            )
        waiting = reader.backlog([OffsetRange(topic, partition, offset, end)]).dead_letters
    dead_letter, headers = parse_dead_letter(message), message_headers(message)
    waits = bool(waiting) and waiting[0].record_id == record_id
    body = message.value()
    content = body if isinstance(body, bytes) else b""
    if as_json:
        document = dlq_view.whole_document(dead_letter, headers, content, waits=waits)
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    dlq_view.print_whole(dead_letter, headers, content, waits=waits)


@click.command("redrive", epilog=EPILOG)
@click.argument("record_ids", callback=_parse_record_ids, nargs=-1, metavar="[RECORD]...")
@click.option("--all", "everything", is_flag=True, help="all that wait")
@click.option("--reason", help="all that wait with this reason, the word before the colon")
@_topic
@click.option("--dry-run", is_flag=True, help="only say which would be sent back")
@_json
def redrive(
    record_ids: tuple[RecordId, ...],
    everything: bool,
    reason: str | None,
    topics: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Sends dead letters back to the topic and partition they came from, with x-retry-count one higher, and notes that
    they do not wait any more. Interrupted, it may have sent some that it will send again: that changes nothing in the
    graph."""
    from memory_graph.cli import dlq_view  # noqa: PLC0415 - imported when the command runs
    from memory_graph.kafka.dlq_reader import DeadLetterReader  # noqa: PLC0415
    from memory_graph.kafka.redrive import redrive as send_back  # noqa: PLC0415
    from memory_graph.kafka.redrive import select  # noqa: PLC0415

    if bool(record_ids) + everything + (reason is not None) != 1:
        raise Failure("name letters, or give --reason or --all, one of the three", WRONG_INPUT)
    if record_ids and topics:
        raise Failure("--topic goes with --reason and --all; a letter names its topic", WRONG_INPUT)
    sent: list[RedriveResult] = []
    problems: list[RedriveResult] = []
    with kafka_settings() as settings, DeadLetterReader(settings) as reader:
        backlog = _read_backlog(reader, reader.ranges(reader.topics({topic for topic, _, _ in record_ids} or topics)))
        selected = list(select(backlog, record_ids, reason))
        missing = sorted(set(record_ids) - {dead_letter.record_id for dead_letter in selected})
        if missing:
            raise Failure(
                f"{_text(missing[0])} does not wait: it was sent back, or is not there; nothing was done", NOT_FOUND
            )
        if dry_run:
            dlq_view.print_dry_run(selected, as_json=as_json)
            return
        with ProgressBar("redrive", len(selected), unit="letters") as progress:

            def on_result(result: RedriveResult) -> None:
                progress.advance(1)
                (sent if result.problem is None else problems).append(result)
                if not as_json:
                    progress.say(dlq_view.result_line(result))

            send_back(reader, settings, backlog, [dead_letter.record_id for dead_letter in selected], on_result)
    if as_json:
        click.echo(json.dumps(dlq_view.redriven_document(sent, problems), ensure_ascii=False))
    else:
        click.echo(f"{len(sent):,} letters sent back", err=True)
    if problems:
        raise Failure(f"{len(problems):,} letters could not be sent back; they wait as before", FAILED)


def _read_backlog(reader: DeadLetterReader, ranges: list[OffsetRange]) -> Backlog:
    with ProgressBar("read", sum(range.end - range.begin for range in ranges), unit="letters") as progress:
        return reader.backlog(ranges, progress.advance)


def _text(record_id: RecordId) -> str:
    return "/".join(map(str, record_id))
