"""`memory-graph dlq list|show|redrive`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click

from memory_graph.cli.brokers import EPILOG, brokers
from memory_graph.cli.failure import FAILED, NOT_FOUND, WRONG_INPUT, Failure
from memory_graph.cli.moment import moment
from memory_graph.cli.progress import Progress

if TYPE_CHECKING:
    from memory_graph.kafka.letter_log import LetterLog, Place, Span, Waiting
    from memory_graph.kafka.redrive import SentBack

_PLACE = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>[0-9]{1,9})/(?P<offset>[0-9]{1,18})")
_topic = click.option(
    "--topic", "topics", multiple=True, help="only letters of this topic; repeatable; by default of those workers read"
)
_json = click.option("--json", "as_json", is_flag=True, help="answer in JSON")


def _place(_context: click.Context, parameter: click.Parameter, value: str) -> Place:
    """Callback of an argument that is a letter: `<topic>/<partition>/<offset>`, as `dlq list` prints it."""
    from memory_graph.kafka.dead_letters import SUFFIX  # noqa: PLC0415 - for those who run it

    found = _PLACE.fullmatch(value)
    if found is None or not found["topic"].endswith(SUFFIX):
        raise click.BadParameter(
            f"{value!r} is no letter; give one as `dlq list` prints it: topic{SUFFIX}/0/17", param=parameter
        )
    return found["topic"], int(found["partition"]), int(found["offset"])


def _places(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Place, ...]:
    """Callback of an argument that is some letters."""
    return tuple(_place(context, parameter, value) for value in values)


@click.command("list", epilog=EPILOG)
@_topic
@click.option("--reason", help="only letters with this reason, the word before the colon")
@click.option(
    "--since", callback=moment, metavar="TIME", help="only letters given up since then: 2h, or 2026-11-21T09:00:00Z"
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@_json
def list_letters(topics: tuple[str, ...], reason: str | None, since: int | None, limit: int, as_json: bool) -> None:
    """Lists the dead letters that wait, newest first. Those that were sent back do not wait any more."""
    from memory_graph.cli import dlq_view  # noqa: PLC0415 - for those who run it
    from memory_graph.kafka.letter_log import LetterLog  # noqa: PLC0415
    from memory_graph.kafka.redrive import chosen_of  # noqa: PLC0415

    with brokers() as settings, LetterLog(settings) as log:
        waiting = _waiting(log, log.spans(log.topics(topics), since))
    found = sorted(chosen_of(waiting, (), reason), key=lambda letter: letter.at, reverse=True)
    if as_json:
        document = {"waiting": len(found), "letters": [dlq_view.document(letter) for letter in found[:limit]]}
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    dlq_view.print_list(found, limit)


@click.command("show", epilog=EPILOG)
@click.argument("letter", callback=_place, metavar="LETTER")
@_json
def show(letter: Place, as_json: bool) -> None:
    """Shows a dead letter whole: why it is one, where it came from, its headers and its body."""
    from memory_graph.cli import dlq_view  # noqa: PLC0415 - for those who run it
    from memory_graph.kafka.letter_log import LetterLog, Span, headers_of, letter_of, noted  # noqa: PLC0415

    topic, partition, offset = letter
    with brokers() as settings, LetterLog(settings) as log:
        spans = [span for span in log.spans([topic]) if span.partition == partition]
        end = spans[0].end if spans else 0
        message = next(iter(log.read([Span(topic, partition, offset, offset + 1)] if offset < end else [])), None)
        if message is None or message.offset() != offset or noted(message) is not None:
            raise Failure(
                f"there is no letter {_text(letter)}; `memory-graph dlq list` names those that wait", NOT_FOUND
            )
        left = log.waiting([Span(topic, partition, offset, end)]).letters
    found, headers = letter_of(message), headers_of(message)
    waits = bool(left) and left[0].place == found.place
    body = message.value()
    content = body if isinstance(body, bytes) else b""
    if as_json:
        click.echo(json.dumps(dlq_view.whole_document(found, headers, content, waits=waits), ensure_ascii=False))
        return
    dlq_view.print_whole(found, headers, content, waits=waits)


@click.command("redrive", epilog=EPILOG)
@click.argument("letters", callback=_places, nargs=-1, metavar="[LETTER]...")
@click.option("--all", "everything", is_flag=True, help="all that wait")
@click.option("--reason", help="all that wait with this reason, the word before the colon")
@_topic
@click.option("--dry-run", is_flag=True, help="only say which would be sent back")
@_json
def redrive(
    letters: tuple[Place, ...],
    everything: bool,
    reason: str | None,
    topics: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Sends dead letters back to the topic and partition they came from, with x-retry-count one higher, and notes that
    they do not wait any more. Interrupted, it may have sent some that it will send again: that changes nothing in the
    graph."""
    from memory_graph.cli import dlq_view  # noqa: PLC0415 - for those who run it
    from memory_graph.kafka.letter_log import LetterLog  # noqa: PLC0415
    from memory_graph.kafka.redrive import chosen_of  # noqa: PLC0415
    from memory_graph.kafka.redrive import redrive as send_back  # noqa: PLC0415

    if bool(letters) + everything + (reason is not None) != 1:
        raise Failure("name letters, or give --reason or --all, one of the three", WRONG_INPUT)
    if letters and topics:
        raise Failure("--topic goes with --reason and --all; a letter names its topic", WRONG_INPUT)
    problems: list[SentBack] = []
    sent: list[SentBack] = []
    with brokers() as settings, LetterLog(settings) as log:
        waiting = _waiting(log, log.spans(log.topics({topic for topic, _, _ in letters} or topics)))
        chosen = list(chosen_of(waiting, letters, reason))
        missing = sorted(set(letters) - {letter.place for letter in chosen})
        if missing:
            raise Failure(
                f"{_text(missing[0])} does not wait: it was sent back, or is not there; nothing was done", NOT_FOUND
            )
        if dry_run:
            dlq_view.print_dry_run(chosen, as_json=as_json)
            return
        with Progress("redrive", len(chosen), unit="letters") as progress:

            def told(one: SentBack) -> None:
                progress.advance(1)
                (sent if one.problem is None else problems).append(one)
                if not as_json:
                    progress.say(dlq_view.line_of(one))

            send_back(log, settings, waiting, [letter.place for letter in chosen], told)
    if as_json:
        click.echo(json.dumps(dlq_view.redriven_document(sent, problems), ensure_ascii=False))
    else:
        click.echo(f"{len(sent):,} letters sent back", err=True)
    if problems:
        raise Failure(f"{len(problems):,} letters could not be sent back; they wait as before", FAILED)


def _waiting(log: LetterLog, spans: list[Span]) -> Waiting:
    with Progress("read", sum(span.end - span.begin for span in spans), unit="letters") as progress:
        return log.waiting(spans, progress.advance)


def _text(place: Place) -> str:
    return "/".join(map(str, place))
