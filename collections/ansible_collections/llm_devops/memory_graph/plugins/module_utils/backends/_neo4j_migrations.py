# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The migrations of the service's Neo4j store: ``MIGRATIONS[i]`` takes a database from schema i to schema i + 1.

A copy, as the collection is installed without the service, and in Python, as Ansible sends nothing else along with a
module. A test of the checkout proves that it is the service's own, and says how to write it anew.
"""

from __future__ import annotations

NAME = "memory-graph"
"""Whose schema it is, on the node ``:SchemaVersion``."""

_V1 = """
CREATE CONSTRAINT schema_version_name IF NOT EXISTS FOR (v:SchemaVersion) REQUIRE v.name IS UNIQUE;
CREATE CONSTRAINT node_id IF NOT EXISTS FOR (n:Node) REQUIRE (n.tenant, n.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_belongs_to IF NOT EXISTS FOR ()-[r:BELONGS_TO]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_responds_to IF NOT EXISTS FOR ()-[r:RESPONDS_TO]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_follows IF NOT EXISTS FOR ()-[r:FOLLOWS]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_invokes IF NOT EXISTS FOR ()-[r:INVOKES]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_handled_by IF NOT EXISTS FOR ()-[r:HANDLED_BY]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_instantiates IF NOT EXISTS FOR ()-[r:INSTANTIATES]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_inherits IF NOT EXISTS FOR ()-[r:INHERITS]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_transfers_to IF NOT EXISTS FOR ()-[r:TRANSFERS_TO]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_references IF NOT EXISTS FOR ()-[r:REFERENCES]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_followed_by IF NOT EXISTS FOR ()-[r:FOLLOWED_BY]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_has_metric IF NOT EXISTS FOR ()-[r:HAS_METRIC]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_caused_error IF NOT EXISTS FOR ()-[r:CAUSED_ERROR]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_triggered_by IF NOT EXISTS FOR ()-[r:TRIGGERED_BY]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_uses_model IF NOT EXISTS FOR ()-[r:USES_MODEL]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT edge_id_had_version IF NOT EXISTS FOR ()-[r:HAD_VERSION]-() REQUIRE (r.tenant, r.id) IS UNIQUE;
CREATE CONSTRAINT tenant_name IF NOT EXISTS FOR (t:Tenant) REQUIRE t.name IS UNIQUE;
CREATE CONSTRAINT feed_name IF NOT EXISTS FOR (f:Feed) REQUIRE f.name IS UNIQUE;
CREATE CONSTRAINT probe_name IF NOT EXISTS FOR (p:Probe) REQUIRE p.name IS UNIQUE;
CREATE CONSTRAINT commit_seq IF NOT EXISTS FOR (c:Commit) REQUIRE c.seq IS UNIQUE;
CREATE INDEX node_by_time IF NOT EXISTS FOR (n:Node) ON (n.tenant, n.created_ns, n.n);
CREATE INDEX node_by_type IF NOT EXISTS FOR (n:Node) ON (n.tenant, n.type, n.created_ns, n.n);
CREATE INDEX node_by_session IF NOT EXISTS FOR (n:Node) ON (n.tenant, n.session_id, n.created_ns, n.n);
CREATE INDEX node_by_session_type IF NOT EXISTS FOR (n:Node) ON (n.tenant, n.session_id, n.type, n.created_ns, n.n);
CREATE INDEX node_version_by_id IF NOT EXISTS FOR (v:NodeVersion) ON (v.tenant, v.id);
CREATE INDEX node_version_by_session IF NOT EXISTS FOR (v:NodeVersion) ON (v.tenant, v.session_id);
CREATE INDEX edge_version_from IF NOT EXISTS FOR (v:EdgeVersion) ON (v.tenant, v.from_id);
CREATE INDEX edge_version_to IF NOT EXISTS FOR (v:EdgeVersion) ON (v.tenant, v.to_id);
CREATE INDEX commit_by_tenant IF NOT EXISTS FOR (c:Commit) ON (c.tenant, c.seq);
CREATE FULLTEXT INDEX node_search IF NOT EXISTS FOR (n:Node) ON EACH [n.tags, n.words] OPTIONS {indexConfig:
  {`fulltext.analyzer`: 'whitespace', `fulltext.eventually_consistent`: false}};
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = tuple(
    tuple(" ".join(statement.split()) for statement in script.split(";") if statement.strip()) for script in (_V1,)
)
