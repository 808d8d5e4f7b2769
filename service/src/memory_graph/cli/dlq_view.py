"""Dead letters as text for terminals and as JSON."""

from __future__ import annotations

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.json_text import too_deep
from memory_graph.kafka.dead_letters import DLQ_HEADERS
from memory_graph.kafka.dlq_reader import DeadLetter
from memory_graph.kafka.producer import Headers
from memory_graph.kafka.redrive import RedriveResult

_PROTOBUF = "application/x-protobuf"


def record_name(dead_letter: DeadLetter) -> str:
    """Return the record id as commands take it."""
    return f"{dead_letter.topic}/{dead_letter.partition}/{dead_letter.offset}"


def document(dead_letter: DeadLetter) -> dict[str, object]:
    """Describe a dead letter without its body."""
    return {
        "letter": record_name(dead_letter),
        "given_up_at": _time(dead_letter.at).isoformat(),
        "original": {
            "topic": dead_letter.original_topic,
            "partition": dead_letter.original_partition,
            "offset": dead_letter.original_offset,
        },
        "reason": dead_letter.reason,
        "failure": dead_letter.failure,
        "retries": dead_letter.retries,
        "key": _text(dead_letter.key),
        "bytes": dead_letter.size,
    }


def whole_document(dead_letter: DeadLetter, headers: Headers, body: bytes, *, waits: bool) -> dict[str, object]:
    """Describe a dead letter with its headers and its body: as JSON, else as text, else in Base64."""
    original = {name: _text(value) for name, value in headers if name not in DLQ_HEADERS}
    return {**document(dead_letter), "waits": waits, "headers": original, **_body(headers, body)}


def redriven_document(sent: Sequence[RedriveResult], problems: Sequence[RedriveResult]) -> dict[str, object]:
    """Describe the results of a redrive."""
    return {
        "redriven": [{**document(result.dead_letter), "retries": result.retries} for result in sent],
        "not_redriven": [{**document(result.dead_letter), "problem": result.problem} for result in problems],
    }


def print_list(dead_letters: Sequence[DeadLetter], limit: int) -> None:
    """Print the number of dead letters by topic and reason, then a table of the first of them."""
    from memory_graph.cli.terminal import clean, print_table  # noqa: PLC0415 - rich is slow to import

    if not dead_letters:
        click.echo("no dead letters wait")
        return
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for dead_letter in dead_letters:
        reasons[dead_letter.topic][dead_letter.reason] += 1
    for topic, counts in sorted(reasons.items()):
        most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        each = " · ".join(f"{clean(reason)} {count:,}" for reason, count in most_first)
        click.echo(f"{topic}  {counts.total():,} waiting: {each}")
    click.echo()
    rows = [
        (
            record_name(dead_letter),
            f"{_time(dead_letter.at).astimezone():%Y-%m-%d %H:%M:%S}",
            str(dead_letter.retries),
            clean(dead_letter.failure),
        )
        for dead_letter in dead_letters[:limit]
    ]
    print_table(("RECORD", "FAILED AT", "RETRIES", "REASON"), rows)
    if len(dead_letters) > limit:
        click.echo(f"{limit:,} of {len(dead_letters):,} letters; --limit shows more", err=True)


def print_whole(dead_letter: DeadLetter, headers: Headers, body: bytes, *, waits: bool) -> None:
    """Print a dead letter as text."""
    from memory_graph.cli.terminal import clean  # noqa: PLC0415 - rich is slow to import

    position = f"/{dead_letter.original_partition}/{dead_letter.original_offset}"
    origin = position if dead_letter.original_offset >= 0 else ", not by Kafka"
    click.echo(f"letter    {record_name(dead_letter)}  {'waits' if waits else 'was sent back'}")
    click.echo(f"reason    {clean(dead_letter.failure)}")
    click.echo(f"came from {dead_letter.original_topic}{origin}")
    failed_at = f"{_time(dead_letter.at).astimezone():%Y-%m-%d %H:%M:%S %z}"
    click.echo(f"given up  {failed_at}  sent back before: {dead_letter.retries}")
    click.echo(f"key       {clean(_text(dead_letter.key) or '-')}")
    for name, value in headers:
        if name not in DLQ_HEADERS:
            click.echo(f"header    {clean(name)}: {clean(_text(value) or '')}")
    click.echo()
    content = _body(headers, body)
    if "body" in content:
        click.echo(json.dumps(content["body"], indent=2))
    elif "body_text" in content:
        click.echo("\n".join(map(clean, str(content["body_text"]).splitlines())))
    else:
        click.echo(f"{dead_letter.size:,} bytes that are no text; --json gives them in Base64")


def print_dry_run(dead_letters: Sequence[DeadLetter], *, as_json: bool) -> None:
    """Print the dead letters that a redrive would send back."""
    if as_json:
        documents = [document(dead_letter) for dead_letter in dead_letters]
        click.echo(json.dumps({"would_redrive": documents}, ensure_ascii=False))
        return
    for dead_letter in dead_letters:
        click.echo(_route(dead_letter, dead_letter.retries + 1))
    click.echo(f"{len(dead_letters):,} letters would be sent back; nothing was done", err=True)


def result_line(result: RedriveResult) -> str:
    """Describe the result for one dead letter in a line."""
    if result.problem is not None:
        return f"{record_name(result.dead_letter)} stays: {result.problem}"
    return _route(result.dead_letter, result.retries)


def _route(dead_letter: DeadLetter, retries: int) -> str:
    partition = dead_letter.original_partition
    target = f"{dead_letter.original_topic}{f'/{partition}' if partition >= 0 else ''}"
    return f"{record_name(dead_letter)} → {target}  retry {retries}"


def _body(headers: Headers, body: bytes) -> dict[str, Any]:
    content_type = _text(dict(headers).get("content-type")) or ""
    if content_type.startswith(_PROTOBUF):
        try:
            return {"body": MessageToDict(pb.Event.FromString(body), preserving_proto_field_name=True)}
        except DecodeError:
            return {"body_base64": base64.b64encode(body).decode()}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}
    if too_deep(body):
        return {"body_text": text}
    try:
        return {"body": msgspec.json.decode(body)}
    except msgspec.DecodeError:  # Python's decoder accepts NaN and half surrogates, which cannot be printed
        return {"body_text": text}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
