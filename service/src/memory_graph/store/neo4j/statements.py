"""The statements of the writer. Every value is a parameter; rows come in lists, one round trip for many."""

from __future__ import annotations

from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.store.ids import EARLIEST
from memory_graph.store.neo4j.labels import LABELS, RELATIONSHIPS
from memory_graph.store.neo4j.rows import EDGE, EDGE_PROPERTIES, NODE_PROPERTIES

SEEK = "USING INDEX SEEK v:Node(tenant, id)"
"""Said outright: with the statistics of a young database the planner may walk the whole index, and keep that plan."""
AT_KEY = f"MATCH (v:Node {{tenant: $tenant, id: $id}}) {SEEK}"
"""One node by its key, as v."""
LOCKED = f"""
{AT_KEY} SET v.type = v.type
WITH collect(v) AS locked UNWIND locked AS v WITH v WHERE v:Node
"""
"""Takes the node's lock, then reads it."""
_BY_KEY = f"MATCH (v:Node {{tenant: key[0], id: key[1]}}) {SEEK}"

NODES_BY_KEY = f"""
UNWIND $keys AS key {_BY_KEY}
RETURN collect([v.tenant, v.id, v.n, v.type, v.session_id, v.created_ns, v.updated_ns, v.recorded_at, v.uses,
  CASE WHEN key[2] THEN v.data END, elementId(v)])
"""
"""The columns of rows.NODE after the tenant, data only where it is asked for; and where the node is stored."""

ANY_EDGE = "\nUNION ALL\n".join(
    f"MATCH (a)-[r:{type} {{tenant: key[0], id: key[1]}}]->(b) USING INDEX SEEK r:{type}(tenant, id) RETURN a, r, b"
    for type in RELATIONSHIPS
)
"""An edge by its id alone: ids are unique among all types, an index holds one."""

EDGES_BY_KEY = f"UNWIND $keys AS key CALL (key) {{ {ANY_EDGE} }} RETURN collect([r.tenant, {EDGE}])"

LOCK = f"""
UNWIND $keys AS key {_BY_KEY} SET v.type = v.type
WITH collect(v) AS locked UNWIND locked AS v WITH v WHERE v:Node
RETURN collect([v.tenant, v.id, v.type, v.n, v.active, v.last_prompt])
"""
"""Setting a property takes the lock, and to what it was writes nothing. The list in between makes the reads wait for
all locks."""


def _property_map(names: tuple[str, ...], row: str) -> str:
    """A property map; what a row does not hold is not set. Naming properties is quicker than copying a map."""
    return f"{{{', '.join(f'{name}: {row}.{name}' for name in names)}, created_at: {INSTANT.format(row=row)}}}"


INSTANT = "datetime({{epochSeconds: 0}}) + duration({{nanoseconds: {row}.created_ns}})"
CREATE_NODES = {
    type: f"""
UNWIND $rows AS row CREATE (n:Node:{LABELS[type]} {_property_map(NODE_PROPERTIES, "row")})
RETURN collect([n.tenant, n.id, elementId(n)])
"""
    for type in NodeType
}

VERSION_OF_NODE = """
CREATE (w:NodeVersion) SET w = properties(v),
  w.words = null, w.tags = null, w.counts = null, w.active = null, w.last_prompt = null,
  w.valid_to = CASE WHEN v.valid_from > $at THEN v.valid_from ELSE $at END, w.closed_at = $closed_at
"""
"""Keeps v as it was until `at`."""
MATERIALIZE_STUB = {
    type: f"""
UNWIND $rows AS row MATCH (v:Node {{tenant: row.tenant, id: row.id}}) {SEEK}
{VERSION_OF_NODE.replace("$at", str(EARLIEST)).replace("$closed_at", "row.recorded_at")}
REMOVE v:{LABELS[NodeType.INVOCATION]} SET v:{LABELS[type]}, v = row, v.created_at = {INSTANT.format(row="row")}
"""
    for type in NodeType
}
"""The stub was true at no time: only what was known before this still shows it."""
DROP_VERSIONS = tuple(
    f"MATCH (w:{label}) USING INDEX SEEK w:{label}(tenant, {id}) "
    f"WHERE w.tenant = $tenant AND w.{id} IS NOT NULL DELETE w"
    for label, id in (("NodeVersion", "id"), ("EdgeVersion", "from_id"))
)
"""All versions of a tenant."""
CREATE_EDGES = {
    type: f"""
UNWIND $rows AS row
MATCH (a:Node {{tenant: row.p.tenant, id: row.a}}) USING INDEX SEEK a:Node(tenant, id)
MATCH (b:Node {{tenant: row.p.tenant, id: row.b}}) USING INDEX SEEK b:Node(tenant, id)
CREATE (a)-[r:{type.name} {_property_map(EDGE_PROPERTIES, "row.p")}]->(b)
"""
    for type in EdgeType
}
CREATE_EDGES_BETWEEN = {
    type: f"""
UNWIND $rows AS row
MATCH (a:Node) WHERE elementId(a) = row.at_a AND a.id = row.a
MATCH (b:Node) WHERE elementId(b) = row.at_b AND b.id = row.b
CREATE (a)-[r:{type.name} {_property_map(EDGE_PROPERTIES, "row.p")}]->(b)
"""
    for type in EdgeType
}
"""The same where it is known where the ends are stored. A place may be used again when its node has gone, so ids are
looked at too."""

_ADDED = "[i IN range(0, size({counts}) - 1) | {counts}[i] + {change}[i]]"
CHANGE_SESSIONS = f"""
UNWIND $rows AS row MATCH (v:Node {{tenant: row[0], id: row[1]}}) {SEEK}
SET v.last_prompt = row[2], v.counts = {_ADDED.format(counts="v.counts", change="row[3]")}
"""
INCREMENT_USAGE = f"""
UNWIND $rows AS row MATCH (v:Node {{tenant: row[0], id: row[1]}}) {SEEK}
SET v.uses = coalesce(v.uses, 0) + row[2]
"""

NEXT_COMMITS = """
MERGE (f:Feed {name: $name}) SET f.name = f.name
WITH collect(f) AS locked UNWIND locked AS f
SET f.seq = coalesce(f.seq, 0) + $commits,
  f.recorded_at = CASE WHEN f.recorded_at > $recorded_at THEN f.recorded_at ELSE $recorded_at END,
  f.n = CASE WHEN f.n > $n THEN f.n ELSE $n END
RETURN f.seq, f.recorded_at, f.n, coalesce(f.dropped, 0)
"""
"""Takes the numbers of the commits of a transaction, as its last step but one: the lock is held until the commit, so
the order of numbers is the order of commits."""

COUNT = f"""
UNWIND $rows AS row MERGE (t:Tenant {{name: row[0]}})
SET t.counts = CASE WHEN t.counts IS NULL THEN row[1] ELSE {_ADDED.format(counts="t.counts", change="row[1]")} END
"""
CREATE_COMMITS = "UNWIND $rows AS row CREATE (c:Commit) SET c = row"
IS_COMMITTED = "MATCH (c:Commit) WHERE c.seq > $after AND c.batch = $batch RETURN c.seq ORDER BY c.seq"
LOCK_FEED = "MERGE (f:Feed {name: $name}) SET f.name = f.name"
