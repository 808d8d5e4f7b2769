# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A namespace and credentials, made once on a real API server."""

from __future__ import annotations

import base64

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._access import secret_values
from ansible_collections.llm_devops.memory_graph.plugins.modules.prerequisites import create_missing


def params(name, **more):
    login = {"name": "login", "values": {"username": "neo4j"}, "random": ["password"]}
    given = {"create_namespace": True, "pod_security": "restricted", "labels": {"team": "graph"}, "secrets": [login]}
    return {"namespace": name, **given, **more}


def test_what_a_release_presupposes_is_made_once_and_outlives_it(place):
    asked = params(place.name)
    assert create_missing(place.cluster, asked, check=True) == [f"Namespace/{place.name}", "Secret/login"]
    assert place.cluster.find(f"/api/v1/namespaces/{place.name}") is None
    assert create_missing(place.cluster, asked, check=False) == [f"Namespace/{place.name}", "Secret/login"]
    made = secret_values(place.cluster, place.name, "login", ("username", "password"))
    assert (made["username"], len(made["password"])) == ("neo4j", 32)

    place.release(place.config())  # takes the namespace over, which another release made bare
    place.run(place.config()).absent()
    assert create_missing(place.cluster, asked, check=False) == []
    assert secret_values(place.cluster, place.name, "login") == made
    stored = place.get("secrets/login")
    assert base64.b64decode(stored["data"]["password"]).decode() == made["password"]
    assert stored["metadata"]["labels"] == {"team": "graph"}
