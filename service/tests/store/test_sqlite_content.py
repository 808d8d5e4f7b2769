"""Content passes the codec, and an end takes no more memory than it must."""

from __future__ import annotations

import apsw
import pytest

from memory_graph.model.kinds import Direction, EdgeType, EventType
from memory_graph.model.queries import NodeFilter, PointInTime, Traversal
from memory_graph.store.events import MAX_EVENTS
from memory_graph.store.sqlite import open_store
from store.graphs import TENANT, agent, delete, link, prompt, session, write


class SealingCodec:
    """Stands for encryption: what it wrote for one tenant and node, it reads for no other."""

    def encode(self, tenant: str, node_id: str, content: bytes) -> bytes:
        return f"{tenant}/{node_id}/".encode() + bytes(byte ^ 0x5A for byte in content)

    def decode(self, tenant: str, node_id: str, stored: bytes) -> bytes:
        seal = f"{tenant}/{node_id}/".encode()
        assert stored.startswith(seal)
        return bytes(byte ^ 0x5A for byte in stored[len(seal) :])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "graph.db"


async def test_data_and_properties_are_written_and_read_through_the_codec(path):
    store = open_store(path, codec=SealingCodec())
    opened = session()
    first, second = prompt(opened.node.id, "a secret"), agent("hidden")
    joined = link(EdgeType.REFERENCES, first.node.id, second.node.id, why="concealed")
    await store.apply(write(opened, first, second, joined))
    assert (await store.query(TENANT, NodeFilter(text="secret"), 1, 0)).nodes[0].data == first.node.data
    assert (await store.get_edge(TENANT, joined.edge.id)).properties == {"why": "concealed"}
    await store.apply(write(delete(second.node.id, at=joined.edge.created_at + 1)))
    then = Traversal(
        start=(second.node.id,), direction=Direction.INCOMING, at=PointInTime(as_of=joined.edge.created_at)
    )
    (walked,) = [step async for step in store.traverse(TENANT, then)]
    assert (walked.nodes[0].data, walked.edges[0].properties) == (second.node.data, joined.edge.properties)
    await store.close()
    content = path.read_bytes()
    for word in (b"a secret", b"concealed"):
        assert word not in content


async def test_a_large_session_ends_by_one_event_that_stands_for_all(path):
    store = open_store(path)
    opened = session()
    await store.apply(write(opened))
    for _ in range(4):
        await store.apply(write(*(prompt(opened.node.id, model="m") for _ in range(MAX_EVENTS // 4))))
    clerk = agent()
    await store.apply(write(clerk, link(EdgeType.REFERENCES, clerk.node.id, opened.node.id)))
    applied = await store.apply(write(delete(opened.node.id)))
    assert [(event.type, event.subject_id) for event in applied.events] == [(EventType.NODE_DELETED, opened.node.id)]
    stats = await store.stats(TENANT)
    assert (stats.nodes, stats.edges, stats.sessions, stats.active_sessions) == (1, 0, 0, 0)
    await store.close()
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    leftover = {
        table: connection.execute(f"SELECT count(*) FROM {table}").get for table in ("attributes", "texts", "edges")
    }
    assert leftover == {"attributes": 0, "texts": 1, "edges": 0}
    connection.close()


async def test_the_graph_is_the_same_after_a_restart(path):
    store = open_store(path)
    opened = session()
    await store.apply(write(opened, prompt(opened.node.id), agent()))
    before = await store.query(TENANT, NodeFilter(), 10, 0)
    events = await store.changes(TENANT, None, 10)
    await store.close()
    store = open_store(path)
    assert await store.query(TENANT, NodeFilter(), 10, 0) == before
    assert await store.changes(TENANT, None, 10) == events
    await store.close()
