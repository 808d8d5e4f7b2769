"""The layout of the file, as a list of forward migrations; the schema's number is the file's `user_version`.

SqliteRows are joined by integers, `n` for nodes and `e` for edges, which are never used twice. `nodes` and `edges` hold
what is true now; a version that was replaced or ended moves to `node_history` or `edge_history` with two more times:
valid_to, when it ended, and closed_at, when the store learned of that. A version is visible as of A, known at K, when

    recorded_at <= K and valid_from <= A and (it has not ended, or closed_at > K, or A < valid_to)

so reads of the present never look at history and cost the same however much of it there is.
"""

from __future__ import annotations

import apsw

from memory_graph.model.errors import StoreCorrupt

_V1 = """
CREATE TABLE tenants (
  tenant INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  feed_floor INTEGER NOT NULL DEFAULT 0      -- the newest change of this tenant that the feed has dropped
);
CREATE TABLE nodes (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant INTEGER NOT NULL,
  id BLOB NOT NULL,
  type INTEGER NOT NULL,
  session INTEGER NOT NULL,                  -- n of the session's node; 0: of no session
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  valid_from INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  uses INTEGER NOT NULL DEFAULT 0,           -- usage_count of a template
  data BLOB NOT NULL
);
CREATE UNIQUE INDEX nodes_by_id ON nodes (tenant, id);
CREATE INDEX nodes_by_time ON nodes (tenant, created_at, n);
CREATE INDEX nodes_by_type ON nodes (tenant, type, created_at, n);
CREATE INDEX nodes_by_session ON nodes (tenant, session, created_at, n);
CREATE INDEX nodes_by_session_type ON nodes (tenant, session, type, created_at, n);

CREATE TABLE node_history (
  n INTEGER NOT NULL,
  tenant INTEGER NOT NULL,
  id BLOB NOT NULL,
  type INTEGER NOT NULL,
  session INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  valid_from INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  uses INTEGER NOT NULL,
  data BLOB NOT NULL,
  valid_to INTEGER NOT NULL,
  closed_at INTEGER NOT NULL
);
CREATE INDEX node_history_by_n ON node_history (tenant, n);
CREATE INDEX node_history_by_id ON node_history (tenant, id);
CREATE INDEX node_history_by_session ON node_history (tenant, session);

CREATE TABLE edges (
  e INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant INTEGER NOT NULL,
  id BLOB NOT NULL,
  type INTEGER NOT NULL,
  src INTEGER NOT NULL,
  dst INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  chain INTEGER NOT NULL,                    -- 1: a link of its session's FOLLOWS chain
  properties BLOB                            -- NULL: none
);
CREATE UNIQUE INDEX edges_by_id ON edges (tenant, id);
CREATE INDEX edges_out ON edges (tenant, src, type);
CREATE INDEX edges_in ON edges (tenant, dst, type);

CREATE TABLE edge_history (
  e INTEGER NOT NULL,
  tenant INTEGER NOT NULL,
  id BLOB NOT NULL,
  type INTEGER NOT NULL,
  src INTEGER NOT NULL,
  dst INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  chain INTEGER NOT NULL,
  properties BLOB,
  valid_to INTEGER NOT NULL,
  closed_at INTEGER NOT NULL
);
CREATE INDEX edge_history_by_e ON edge_history (tenant, e);
CREATE INDEX edge_history_out ON edge_history (tenant, src, type);
CREATE INDEX edge_history_in ON edge_history (tenant, dst, type);

CREATE TABLE sessions (                      -- kept when its node ends: history still names it
  session INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  id BLOB NOT NULL,
  active INTEGER NOT NULL,
  last_prompt INTEGER                        -- n of the end of the FOLLOWS chain
);
CREATE TABLE counts (                        -- session 0: the whole tenant
  tenant INTEGER NOT NULL,
  session INTEGER NOT NULL,
  kind INTEGER NOT NULL,                     -- a node type, or one of memory_graph.store.sqlite.counts
  count INTEGER NOT NULL,
  PRIMARY KEY (tenant, session, kind)
) WITHOUT ROWID;
CREATE TABLE attributes (
  tenant INTEGER NOT NULL,
  name TEXT NOT NULL,
  value NOT NULL,                            -- TEXT, or the SHA-256 (BLOB) of a long one
  created_at INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (tenant, name, value, created_at, n)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE texts USING fts5 (scope, text, content = '', contentless_delete = 1);

CREATE TABLE changes (
  seq INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  session INTEGER,                           -- the session all of its events are of; NULL: several or none
  recorded_at INTEGER NOT NULL,
  events BLOB NOT NULL
);
CREATE INDEX changes_by_tenant ON changes (tenant, seq);

CREATE TABLE probe (at INTEGER NOT NULL);
INSERT INTO probe VALUES (0);
"""

_V2 = """
CREATE TABLE cursors (                       -- how far readers of the commit log have come
  reader TEXT PRIMARY KEY,
  seq INTEGER NOT NULL
) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_V1, _V2)
"""MIGRATIONS[i] takes a file from schema i to schema i + 1. A landed entry is never edited."""


def migrate(connection: apsw.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Brings the file to the newest schema, each step in a transaction of its own. Raises `StoreCorrupt` as
    `version_of`."""
    for step in range(version_of(connection, migrations), len(migrations)):
        with connection:
            connection.execute(migrations[step])
            connection.pragma("user_version", step + 1)


def version_of(connection: apsw.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> int:
    """The file's schema; 0: it is empty.

    Raises `StoreCorrupt` for a file of a newer schema, or of another application.
    """
    version = connection.pragma("user_version")
    assert isinstance(version, int)
    if version > len(migrations):
        raise StoreCorrupt(
            f"{connection.filename} has schema {version} and this version reads up to {len(migrations)}; "
            "run the version that wrote it, or restore a backup made before the upgrade"
        )
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").get:
        raise StoreCorrupt(
            f"{connection.filename} is an SQLite database of another application; point DB_PATH at another file"
        )
    return version
