# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A namespace and credentials, made once on a real API server."""

from __future__ import annotations

import base64

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._access import secret_values
from ansible_collections.llm_devops.memory_graph.plugins.modules.prerequisites import create_missing


def params(name, **more):
    login = {"name": "login", "values": {"username": "neo4j"}, "random": ["password"]}
    defaults = {"create_namespace": True, "pod_security": "restricted", "labels": {"team": "graph"}, "secrets": [login]}
    return {"namespace": name, **defaults, **more}


def test_what_a_release_presupposes_is_made_once_and_outlives_it(sandbox):
    options = params(sandbox.name)
    assert create_missing(sandbox.cluster, options, check=True) == [f"Namespace/{sandbox.name}", "Secret/login"]
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None
    assert create_missing(sandbox.cluster, options, check=False) == [f"Namespace/{sandbox.name}", "Secret/login"]
    login = secret_values(sandbox.cluster, sandbox.name, "login", ("username", "password"))
    assert (login["username"], len(login["password"])) == ("neo4j", 32)

    sandbox.release(sandbox.config())  # takes the namespace over, which another release made bare
    sandbox.run(sandbox.config()).absent()
    assert create_missing(sandbox.cluster, options, check=False) == []
    assert secret_values(sandbox.cluster, sandbox.name, "login") == login
    stored = sandbox.get("secrets/login")
    assert base64.b64decode(stored["data"]["password"]).decode() == login["password"]
    assert stored["metadata"]["labels"] == {"team": "graph"}
