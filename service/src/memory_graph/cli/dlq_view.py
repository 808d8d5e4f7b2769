"""Dead letters on the screen and as JSON."""

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
from memory_graph.kafka.dead_letters import OURS
from memory_graph.kafka.letter_log import Letter
from memory_graph.kafka.producer import Headers
from memory_graph.kafka.redrive import SentBack

_PROTOBUF = "application/x-protobuf"


def name_of(letter: Letter) -> str:
    """As a command takes it."""
    return f"{letter.topic}/{letter.partition}/{letter.offset}"


def document(letter: Letter) -> dict[str, object]:
    """A letter without its body."""
    return {
        "letter": name_of(letter),
        "given_up_at": _time(letter.at).isoformat(),
        "original": {
            "topic": letter.original_topic,
            "partition": letter.original_partition,
            "offset": letter.original_offset,
        },
        "reason": letter.reason,
        "failure": letter.failure,
        "retries": letter.retries,
        "key": _text(letter.key),
        "bytes": letter.size,
    }


def whole_document(letter: Letter, headers: Headers, body: bytes, *, waits: bool) -> dict[str, object]:
    """A letter with its headers and its body: JSON as it is, another as text, or in Base64 where it is none."""
    theirs = {name: _text(value) for name, value in headers if name not in OURS}
    return {**document(letter), "waits": waits, "headers": theirs, **_body(headers, body)}


def redriven_document(sent: Sequence[SentBack], problems: Sequence[SentBack]) -> dict[str, object]:
    """What a redrive has done."""
    return {
        "redriven": [{**document(one.letter), "retries": one.retries} for one in sent],
        "not_redriven": [{**document(one.letter), "problem": one.problem} for one in problems],
    }


def print_list(letters: Sequence[Letter], limit: int) -> None:
    """How many wait in each topic, and why; then the first of them."""
    from memory_graph.cli.screen import clean, print_table  # noqa: PLC0415 - rich is slow to import

    if not letters:
        click.echo("no dead letters wait")
        return
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for letter in letters:
        reasons[letter.topic][letter.reason] += 1
    for topic, counted in sorted(reasons.items()):
        most_first = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        each = " · ".join(f"{clean(reason)} {count:,}" for reason, count in most_first)
        click.echo(f"{topic}  {counted.total():,} waiting: {each}")
    click.echo()
    rows = [
        (
            name_of(letter),
            f"{_time(letter.at).astimezone():%Y-%m-%d %H:%M:%S}",
            str(letter.retries),
            clean(letter.failure),
        )
        for letter in letters[:limit]
    ]
    print_table(("LETTER", "GIVEN UP", "RETRIES", "REASON"), rows)
    if len(letters) > limit:
        click.echo(f"{limit:,} of {len(letters):,} letters; --limit shows more", err=True)


def print_whole(letter: Letter, headers: Headers, body: bytes, *, waits: bool) -> None:
    """A letter for people."""
    from memory_graph.cli.screen import clean  # noqa: PLC0415 - rich is slow to import

    place = f"/{letter.original_partition}/{letter.original_offset}"
    came = place if letter.original_offset >= 0 else ", not by Kafka"
    click.echo(f"letter    {name_of(letter)}  {'waits' if waits else 'was sent back'}")
    click.echo(f"reason    {clean(letter.failure)}")
    click.echo(f"came from {letter.original_topic}{came}")
    click.echo(f"given up  {_time(letter.at).astimezone():%Y-%m-%d %H:%M:%S %z}  sent back before: {letter.retries}")
    click.echo(f"key       {clean(_text(letter.key) or '-')}")
    for name, value in headers:
        if name not in OURS:
            click.echo(f"header    {clean(name)}: {clean(_text(value) or '')}")
    click.echo()
    shown = _body(headers, body)
    if "body" in shown:
        click.echo(json.dumps(shown["body"], indent=2))
    elif "body_text" in shown:
        click.echo("\n".join(map(clean, str(shown["body_text"]).splitlines())))
    else:
        click.echo(f"{letter.size:,} bytes that are no text; --json gives them in Base64")


def print_dry_run(letters: Sequence[Letter], *, as_json: bool) -> None:
    """What a redrive would do."""
    if as_json:
        click.echo(json.dumps({"would_redrive": [document(letter) for letter in letters]}, ensure_ascii=False))
        return
    for letter in letters:
        click.echo(_way(letter, letter.retries + 1))
    click.echo(f"{len(letters):,} letters would be sent back; nothing was done", err=True)


def line_of(one: SentBack) -> str:
    """What became of one letter."""
    return _way(one.letter, one.retries) if one.problem is None else f"{name_of(one.letter)} stays: {one.problem}"


def _way(letter: Letter, retries: int) -> str:
    partition = letter.original_partition
    return f"{name_of(letter)} → {letter.original_topic}{f'/{partition}' if partition >= 0 else ''}  retry {retries}"


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
    except msgspec.DecodeError:  # Python's own decoder takes NaN and half surrogates, which cannot be printed then
        return {"body_text": text}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
