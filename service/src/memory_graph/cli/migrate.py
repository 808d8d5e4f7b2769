"""`memory-graph migrate`: from the embedded store to Neo4j."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from memory_graph import config
from memory_graph.cli.failure import UNREACHABLE, WRONG_INPUT, Failure
from memory_graph.cli.progress import ProgressBar
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.runtime.opening import STORE_FILE
from memory_graph.store.migration.migrate import MigrationCheck, migrate_graph
from memory_graph.store.migration.source import MigrationSource
from memory_graph.store.migration.target import MigrationTarget
from memory_graph.store.neo4j.connection import Neo4jConnection

_PAGE = 5_000


@click.command("migrate")
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help=f"the embedded store: its file, or the DB_PATH with its {STORE_FILE}",
)
@click.option("--to", "target", required=True, metavar="URI", help="Neo4j, as bolt://HOST:7687 or neo4j://HOST:7687")
@click.option("--page", type=click.IntRange(1, 100_000), default=_PAGE, show_default=True, help="rows a transaction")
@click.option("--json", "as_json", is_flag=True, help="answer in JSON")
def migrate(source: Path, target: str, page: int, as_json: bool) -> None:
    """Moves a graph with its history and its change feed from the embedded store to an empty Neo4j database.

    Stop the service first: the file is owned meanwhile. User, password and database are those of the settings
    (NEO4J_USERNAME, NEO4J_PASSWORD or NEO4J_PASSWORD_FILE, NEO4J_DATABASE). What was stopped half way goes on when it
    is run again. Everything is compared in the end; until then no service takes the database for a store. The file
    stays as it is.
    """
    file = source / STORE_FILE if source.is_dir() else source
    if not file.is_file():
        raise Failure(f"{source} holds no {STORE_FILE}; name the DB_PATH of the service or its file", WRONG_INPUT)
    if not config.NEO4J_URI.fullmatch(target):
        raise Failure("--to must be like bolt://graph.example:7687, without user, password and path", WRONG_INPUT)
    try:
        settings = config.load()
        with MigrationSource(file) as opened:
            compared = asyncio.run(_migrate(opened, target, settings, page))
    except KeyboardInterrupt:
        raise Failure("stopped; run it again, and it goes on with what is left") from None
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    except StoreCorrupt as error:
        raise Failure(str(error)) from None
    except StoreUnavailable as error:
        raise Failure(str(error), UNREACHABLE) from None
    _print_result(compared, as_json=as_json)


async def _migrate(source: MigrationSource, uri: str, settings: config.Settings, page: int) -> list[MigrationCheck]:
    target = MigrationTarget(
        Neo4jConnection(
            uri,
            username=settings.neo4j_username or None,
            password=settings.neo4j_secret,
            database=settings.neo4j_database,
            max_connections=2,
        )
    )
    steps = _ProgressBars()
    try:
        return await migrate_graph(source, target, steps, page=page)
    finally:
        steps.end()
        await target.close()


class _ProgressBars:
    """The progress of the steps: a bar on interactive terminals, a line elsewhere."""

    def __init__(self) -> None:
        self._bar: ProgressBar | None = None

    def begins(self, step: str, rows: int) -> None:
        self.end()
        click.echo(f"{step}: {rows:,}", err=True)
        self._bar = ProgressBar(step, rows, unit="rows")
        self._bar.__enter__()

    def advance(self, rows: int) -> None:
        if self._bar is not None:
            self._bar.advance(rows)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None


def _print_result(compared: list[MigrationCheck], *, as_json: bool) -> None:
    different = [table.part for table in compared if not table.same]
    if as_json:
        parts = [
            {
                "part": table.part,
                "rows": table.source.rows,
                "rows_moved": table.target.rows,
                "checksum": table.source.text,
                "checksum_moved": table.target.text,
                "same": table.same,
            }
            for table in compared
        ]
        click.echo(json.dumps({"same": not different, "parts": parts}))
    else:
        for table in compared:
            verdict = "same" if table.same else "DIFFERENT"
            click.echo(f"{table.part:<14} {table.source.rows:>12,}  {table.source.text[:16]}  {verdict}")
    if different:
        raise Failure(
            f"{', '.join(different)} differ in the database, which is not used as a store therefore; "
            "empty it and run this again, with nothing else writing to it"
        )
