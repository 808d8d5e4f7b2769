"""The layout of the database, as a list of forward migrations; its number is kept on the one :SchemaVersion node.

    (:Node:Prompt …)-[:RESPONDS_TO …]->(…)   what is true now
    (:NodeVersion), (:EdgeVersion)           what was, with two more times: valid_to, when it ended, and closed_at,
                                             when the store learned of that
    (:Commit)                                the change feed: the events of one write
    (:Feed)                                  gives out commit numbers; who holds its lock commits next. One more for
                                             each reader of the commit log: how far it has come, and who it is
    (:Tenant)                                counts of a tenant, and what the feed has dropped of it

Nothing joins a version to what is current, so reads of the present never meet history. A version is visible as of A,
known at K, when

    recorded_at <= K and valid_from <= A and (it has not ended, or closed_at > K, or A < valid_to)

`n` tells two lives of one id apart and sorts later-stored nodes after earlier ones. `data` and `properties` are what
the codec made of them. `tags` and `words` are what filters and full-text search look for.
"""

from __future__ import annotations

from neo4j import AsyncSession
from neo4j.exceptions import ClientError

from memory_graph.model.errors import StoreCorrupt
from memory_graph.model.kinds import EdgeType

NAME = "memory-graph"
SEARCH = "node_search"
"""The full-text index over `tags` and `words`, which are terms already: nothing is left to an analyzer."""
_WAIT_S = 300

_SESSION_TYPE = "n.tenant, n.session_id, n.type, n.created_ns, n.n"
_AS_IT_IS = "{indexConfig: {`fulltext.analyzer`: 'whitespace', `fulltext.eventually_consistent`: false}}"

_V1 = (
    "CREATE CONSTRAINT schema_version_name IF NOT EXISTS FOR (v:SchemaVersion) REQUIRE v.name IS UNIQUE",
    "CREATE CONSTRAINT node_id IF NOT EXISTS FOR (n:Node) REQUIRE (n.tenant, n.id) IS UNIQUE",
    *(
        f"CREATE CONSTRAINT edge_id_{type.name.lower()} IF NOT EXISTS "
        f"FOR ()-[r:{type.name}]-() REQUIRE (r.tenant, r.id) IS UNIQUE"
        for type in EdgeType
    ),
    "CREATE CONSTRAINT tenant_name IF NOT EXISTS FOR (t:Tenant) REQUIRE t.name IS UNIQUE",
    "CREATE CONSTRAINT feed_name IF NOT EXISTS FOR (f:Feed) REQUIRE f.name IS UNIQUE",
    "CREATE CONSTRAINT probe_name IF NOT EXISTS FOR (p:Probe) REQUIRE p.name IS UNIQUE",
    "CREATE CONSTRAINT commit_seq IF NOT EXISTS FOR (c:Commit) REQUIRE c.seq IS UNIQUE",
    "CREATE INDEX node_by_time IF NOT EXISTS FOR (n:Node) ON (n.tenant, n.created_ns, n.n)",
    "CREATE INDEX node_by_type IF NOT EXISTS FOR (n:Node) ON (n.tenant, n.type, n.created_ns, n.n)",
    "CREATE INDEX node_by_session IF NOT EXISTS FOR (n:Node) ON (n.tenant, n.session_id, n.created_ns, n.n)",
    f"CREATE INDEX node_by_session_type IF NOT EXISTS FOR (n:Node) ON ({_SESSION_TYPE})",
    "CREATE INDEX node_version_by_id IF NOT EXISTS FOR (v:NodeVersion) ON (v.tenant, v.id)",
    "CREATE INDEX node_version_by_session IF NOT EXISTS FOR (v:NodeVersion) ON (v.tenant, v.session_id)",
    "CREATE INDEX edge_version_from IF NOT EXISTS FOR (v:EdgeVersion) ON (v.tenant, v.from_id)",
    "CREATE INDEX edge_version_to IF NOT EXISTS FOR (v:EdgeVersion) ON (v.tenant, v.to_id)",
    "CREATE INDEX commit_by_tenant IF NOT EXISTS FOR (c:Commit) ON (c.tenant, c.seq)",
    f"CREATE FULLTEXT INDEX {SEARCH} IF NOT EXISTS FOR (n:Node) ON EACH [n.tags, n.words] OPTIONS {_AS_IT_IS}",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1,)
"""MIGRATIONS[i] takes a database from schema i to schema i + 1. A landed entry is never edited. Every statement can be
repeated: two processes may migrate at once, and one that was stopped half way begins again."""

_VERSION = """
OPTIONAL MATCH (v:SchemaVersion {name: $name})
RETURN v.version AS version, EXISTS { MATCH (other) WHERE NOT other:SchemaVersion } AS used,
  EXISTS { MATCH (:Move) } AS moving
"""
RAISE = """
MERGE (v:SchemaVersion {name: $name})
SET v.version = CASE WHEN coalesce(v.version, 0) < $version THEN $version ELSE v.version END, v.migrated_at = datetime()
"""
"""Notes that the database has this schema."""


async def migrate(session: AsyncSession, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Brings the database to the newest schema. Raises `StoreCorrupt` for one of a newer schema, or of another
    application."""
    version, used, moving = await _look(session)
    if not version and used:
        version, used, moving = await _look(session)  # another process may have finished between the halves of a look
    if moving:
        raise StoreCorrupt(
            "a graph is being moved into this database; wait for `memory-graph migrate`, or run it again if it was "
            "stopped"
        )
    if not version and used:
        raise StoreCorrupt("the database holds the graph of another application; name an empty one in NEO4J_DATABASE")
    if version > len(migrations):
        raise StoreCorrupt(
            f"the database has schema {version} and this version reads up to {len(migrations)}; "
            "run the version that wrote it, or restore a backup made before the upgrade"
        )
    for step in range(version, len(migrations)):
        for statement in migrations[step]:
            await _make(session, statement)
        await (await session.run("CALL db.awaitIndexes($seconds)", seconds=_WAIT_S)).consume()
        await (await session.run(RAISE, name=NAME, version=step + 1)).consume()


async def _make(session: AsyncSession, statement: str) -> None:
    """IF NOT EXISTS looks before it makes: what another process made in between is found by the second look."""
    try:
        await (await session.run(statement)).consume()
    except ClientError as error:
        if not (error.code or "").endswith("AlreadyExists"):
            raise
        await (await session.run(statement)).consume()


async def _look(session: AsyncSession) -> tuple[int, bool, bool]:
    record = await (await session.run(_VERSION, name=NAME)).single(strict=True)
    return record["version"] or 0, record["used"], record["moving"]
