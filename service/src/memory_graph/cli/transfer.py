"""`memory-graph import` and `memory-graph export`: the graph as JSON Lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from memory_graph.cli.client import GraphClient, client_command
from memory_graph.cli.exporting import Exporter
from memory_graph.cli.failure import WRONG_INPUT, Failure
from memory_graph.cli.importing import Importer
from memory_graph.cli.jsonl import JsonlReader
from memory_graph.cli.progress import ProgressBar


@client_command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
def import_(client: GraphClient, file: Path) -> None:
    """Writes the records of a JSON Lines FILE (`-`: standard input) into the graph.

    A file is checked as a whole before anything is written. Records with ids may be imported again: what is there
    stays as it is.
    """
    importer = Importer(client)
    if str(file) == "-":
        _import_from(sys.stdin.buffer, None, importer)
    else:
        if not file.is_file():
            raise Failure(f"{file} is no regular file; use `-` and standard input", WRONG_INPUT)
        with file.open("rb") as stream:
            for _ in JsonlReader().entries(stream):
                continue
            stream.seek(0)
            _import_from(stream, file.stat().st_size, importer)
    document = {"nodes": importer.nodes_read, "nodes_created": importer.nodes_created, "edges": importer.edges_read}
    text = f"{importer.nodes_read:,} nodes ({importer.nodes_created:,} new)"
    client.answer(document, f"{text}, {importer.edges_read:,} edges")


def _import_from(stream: BinaryIO, size: int | None, importer: Importer) -> None:
    with ProgressBar("import", size, unit="bytes") as progress:
        for entry in JsonlReader().entries(stream):
            importer.add(entry)
            progress.advance(entry.size)
        importer.finish()


@client_command("export", reports_json=False)
@click.option("--session", "session_ids", multiple=True, metavar="ID", help="only this session; repeatable")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="file to write; default standard output"
)
def export(client: GraphClient, session_ids: tuple[str, ...], output: Path | None) -> None:
    """Writes the graph, or some sessions of it, as JSON Lines."""
    exporter = Exporter(client)
    total = None if session_ids else exporter.total()
    records = exporter.sessions(session_ids) if session_ids else exporter.everything()
    with _target(output) as stream, ProgressBar("export", total, unit="nodes") as progress:
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            progress.advance(record["kind"] != "edge")
    for count, reason in (
        (exporter.waiting, "responses that wait for their prompts are left out: they are in the graph once these come"),
        (exporter.stubs, "nodes that are only named so far are left out: nothing is known of them yet"),
        (exporter.left_out, "edges of nodes outside of this export are left out"),
    ):
        if count:
            click.echo(f"{count:,} {reason}", err=True)


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears under its name only when it is complete."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    partial = output.with_name(f".{output.name}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
        partial.replace(output)
    except OSError as error:
        raise Failure(f"{output} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
