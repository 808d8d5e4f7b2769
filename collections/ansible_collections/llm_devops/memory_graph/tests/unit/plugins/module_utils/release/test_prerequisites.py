# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Prerequisites of a release are created once, and never changed."""

from __future__ import annotations

import base64
import re

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.modules.prerequisites import create_missing

PARAMS = {
    "namespace": "graph",
    "create_namespace": True,
    "pod_security": "restricted",
    "labels": {"team": "graph"},
    "secrets": [{"name": "login", "values": {"username": "neo4j"}, "random": ["password"]}],
}


class PrerequisitesApi:
    """Objects by path. ``race``: somebody else makes everything a moment before us."""

    def __init__(self, *, race=False):
        self.objects, self.race = {}, race

    def find(self, path):
        return self.objects.get(path)

    def request(self, verb, path, query, body):
        assert verb == "POST"
        if self.race:
            raise ApiError(409, {"reason": "AlreadyExists"}, "there is one")
        self.objects[f"{path}/{body['metadata']['name']}"] = body


def login(api):
    data = api.objects["/api/v1/namespaces/graph/secrets/login"]["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def test_what_is_missing_is_made_and_the_second_run_makes_nothing():
    api = PrerequisitesApi()
    assert create_missing(api, PARAMS, check=False) == ["Namespace/graph", "Secret/login"]
    data = login(api)
    assert data["username"] == "neo4j"
    assert re.fullmatch("[A-Za-z0-9]{32}", data["password"])
    labels = api.objects["/api/v1/namespaces/graph"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert create_missing(api, PARAMS, check=False) == []
    assert login(api) == data


def test_no_two_passwords_are_the_same():
    first, second = PrerequisitesApi(), PrerequisitesApi()
    for api in (first, second):
        create_missing(api, PARAMS, check=False)
    assert login(first)["password"] != login(second)["password"]


def test_check_mode_makes_nothing():
    api = PrerequisitesApi()
    assert create_missing(api, PARAMS, check=True) == ["Namespace/graph", "Secret/login"]
    assert api.objects == {}


def test_who_loses_a_race_has_made_nothing():
    assert create_missing(PrerequisitesApi(race=True), PARAMS, check=False) == []


@pytest.mark.parametrize("data", [{"username": "bmVvNGo="}, {"username": "bmVvNGo=", "password": ""}])
def test_a_secret_without_a_required_key_is_refused_and_left_as_it_is(data):
    api = PrerequisitesApi()
    api.objects["/api/v1/namespaces/graph"] = {}
    api.objects["/api/v1/namespaces/graph/secrets/login"] = {"data": data}
    with pytest.raises(ClusterError, match="Secret login in namespace graph has no password — add what is missing"):
        create_missing(api, PARAMS, check=False)
    assert api.objects["/api/v1/namespaces/graph/secrets/login"] == {"data": data}


def test_a_namespace_that_is_somebody_elses_to_make_is_not_asked_for():
    class WithoutNamespaceReads(PrerequisitesApi):
        def find(self, path):
            assert path != "/api/v1/namespaces/graph"
            return super().find(path)

    assert create_missing(WithoutNamespaceReads(), {**PARAMS, "create_namespace": False}, check=False) == [
        "Secret/login"
    ]
