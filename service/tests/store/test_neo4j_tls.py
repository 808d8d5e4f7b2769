"""TLS to the database, with an authority of one's own."""

from __future__ import annotations

import pytest

from memory_graph.model.errors import StoreUnavailable
from memory_graph.store.neo4j import open_store
from store.graphs import TENANT, session, write
from support.neo4j_server import settings, wipe

pytestmark = pytest.mark.xdist_group("neo4j")


@pytest.fixture
def uri(neo4j_process):
    wipe(neo4j_process.uri)
    return f"bolt+s://localhost:{neo4j_process.port}"


async def test_a_database_is_trusted_that_the_named_authority_vouches_for(uri, neo4j_process, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(neo4j_process.ca_file))
    store = open_store(**settings(uri))
    await store.apply(write(session()))
    assert (await store.stats(TENANT)).sessions == 1
    await store.close()


async def test_any_other_is_not(uri):
    store = open_store(**settings(uri))
    with pytest.raises(StoreUnavailable, match=r"TLS handshake \(unable to get local issuer certificate\)"):
        await store.apply(write(session()))
    await store.close()
