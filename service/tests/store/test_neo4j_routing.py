"""neo4j:// in a cluster: writes go to its leader, reads to its replicas, which wait for what was written."""

from __future__ import annotations

import pytest

from memory_graph.store.neo4j import open_store
from store.graphs import TENANT, session, write
from support.neo4j_members import Begun, members
from support.neo4j_server import settings

pytestmark = pytest.mark.xdist_group("neo4j")


async def test_writes_go_to_the_leader_and_reads_to_a_replica_that_has_them(empty_neo4j, neo4j_process):
    async with members(neo4j_process.port) as cluster:
        store = open_store(**settings(cluster.uri))
        opened = session()
        await store.apply(write(opened))
        assert cluster.replica == []
        assert [node.id for node in await store.get_nodes(TENANT, [opened.node.id])] == [opened.node.id]
        assert (await store.stats(TENANT)).sessions == 1
        assert cluster.replica == [Begun(reads=True, bookmarks=True)] * 2
        assert len(await store.changes(TENANT, None, 10)) == 1
        assert len(cluster.replica) == 2, "what others have written may not be there yet"
        assert cluster.leader
        assert not any(begun.reads for begun in cluster.leader)
        await store.close()
