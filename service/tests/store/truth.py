"""The content of a Neo4j database, counted the long way, against the counters the store keeps for quick answers."""

from __future__ import annotations

from memory_graph.model.kinds import NodeType
from memory_graph.model.queries import Stats
from support.neo4j_server import run_statement

_NODES = """
MATCH (n:Node {tenant: $tenant})
RETURN count(n), sum(toInteger(n:Session)), sum(toInteger(n:Session AND n.active)), count(DISTINCT n.id)
"""
_EDGES = "MATCH (:Node {tenant: $tenant})-[r]->(:Node {tenant: $tenant}) RETURN count(r), count(DISTINCT r.id)"
_OF_SESSIONS = """
MATCH (s:Session {tenant: $tenant})
CALL (s) { MATCH (n:Node {tenant: $tenant, session_id: s.id}) RETURN n.type AS type, count(n) AS nodes }
RETURN s.id, s.counts, collect([type, nodes])
"""
_FEED = """
MATCH (c:Commit) WITH min(c.seq) AS lowest, max(c.seq) AS highest, count(c) AS commits
MATCH (f:Feed {name: 'changes'}) RETURN lowest, highest, commits, f.seq
"""


async def counts_are_true(store, uri: str, tenant: str) -> None:
    """Fails unless the kept counts are those of the graph, and every id is there once."""
    ((nodes, sessions, active, node_ids),) = run_statement(uri, _NODES, tenant=tenant)
    ((edges, edge_ids),) = run_statement(uri, _EDGES, tenant=tenant)
    assert (nodes, edges) == (node_ids, edge_ids)
    assert await store.stats(tenant) == Stats(nodes=nodes, edges=edges, sessions=sessions, active_sessions=active)
    for id, counts, counted in run_statement(uri, _OF_SESSIONS, tenant=tenant):
        stored = {kind: counts[kind] for kind in NodeType if counts[kind]}
        assert stored == dict(counted), id


def feed_is_whole(uri: str) -> None:
    """Fails unless commits are numbered without a gap, up to the number the feed would go on from."""
    ((lowest, highest, commits, newest),) = run_statement(uri, _FEED)
    assert (lowest, highest, commits) == (1, newest, newest)
