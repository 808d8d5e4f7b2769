# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Pods are rolled when what they read once of a Secret has changed, and at no other time."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._history import ReleaseRecord
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._secret_checksums import (
    CHECKSUM,
    ROLL_ON,
    SecretChecksums,
)

SECRETS = "/api/v1/namespaces/n/secrets"
RECORD = ReleaseRecord("graph", "n", key=b"k" * 32)


class SecretsApi:
    """Secrets by name; those in ``forbidden`` may not be read."""

    def __init__(self, **secrets):
        self.objects = {f"{SECRETS}/{name}": secret(name, **data) for name, data in secrets.items()}
        self.forbidden, self.paths = set(), []

    def find(self, path):
        self.paths.append(path)
        if path in self.forbidden:
            raise ApiError(403, {"reason": "Forbidden"}, "may not")
        return self.objects.get(path)


def secret(name, **data):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


def workload(kind="Deployment", rolls_on="login"):
    """Pods that read of Secret ``login`` the user by name and the password as a file, and all of ``whole``."""
    variables = [{"name": "USER", "valueFrom": {"secretKeyRef": {"name": "login", "key": "username"}}}]
    container = {"name": "c", "image": "i", "env": variables, "envFrom": [{"secretRef": {"name": "whole"}}]}
    volumes = [
        {"name": "login", "secret": {"secretName": "login", "items": [{"key": "password", "path": "password"}]}},
        {"name": "tls", "secret": {"secretName": "tls"}},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "graph", **({"annotations": {ROLL_ON: rolls_on}} if rolls_on else {})},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container], "volumes": volumes}},
        },
    }


def checksums(api, *objects, record=RECORD):
    """The checksum of the first object, and what was noted."""
    ready = prepared(list(objects) or [workload()], "graph", "n")
    notes = SecretChecksums(api, ready, record.digest_of).set()
    return ready[0]["spec"]["template"]["metadata"].get("annotations", {}).get(CHECKSUM), notes


LOGIN = {"username": "neo4j", "password": "old"}


@pytest.mark.parametrize("changed", [{"password": "new"}, {"username": "other"}])
def test_a_changed_value_changes_it_and_a_second_run_does_not(changed):
    before, notes = checksums(SecretsApi(login=LOGIN))
    assert before.startswith("hmac-sha256:")
    assert notes == []
    assert checksums(SecretsApi(login=LOGIN)) == (before, [])
    assert checksums(SecretsApi(login={**LOGIN, **changed}))[0] != before


def test_what_pods_do_not_read_once_does_not_count():
    """Other keys of the Secret, a certificate that is read again, and Secrets that nobody named."""
    before, _notes = checksums(SecretsApi(login=LOGIN, tls={"tls.crt": "a"}, whole={"a": "b"}))
    api = SecretsApi(login={**LOGIN, "ca.crt": "x"}, tls={"tls.crt": "b"}, whole={"a": "c"})
    assert checksums(api) == (before, [])
    assert api.paths == [f"{SECRETS}/login"]


def test_of_a_secret_that_is_read_whole_every_key_counts():
    before, _notes = checksums(SecretsApi(whole={"a": "b"}), workload(rolls_on="whole"))
    assert checksums(SecretsApi(whole={"a": "b", "c": "d"}), workload(rolls_on="whole"))[0] != before


def test_it_is_of_the_release_and_no_hash_of_the_value():
    before, _notes = checksums(SecretsApi(login=LOGIN))
    other, _notes = checksums(SecretsApi(login=LOGIN), record=replace(RECORD, key=b"o" * 32))
    assert before != other
    encoded = json.dumps(
        {"login": SecretsApi(login=LOGIN).objects[f"{SECRETS}/login"]["data"]}, sort_keys=True
    ).encode()
    assert hashlib.sha256(encoded).hexdigest() not in before
    assert "old" not in before


def test_a_secret_of_the_release_counts_as_it_will_be():
    before, _notes = checksums(SecretsApi(login=LOGIN))
    api = SecretsApi(login=LOGIN)
    assert checksums(api, workload(), secret("login", **{**LOGIN, "password": "new"}))[0] != before
    assert api.paths == []
    assert checksums(api, workload(), secret("login", **LOGIN))[0] == before


def test_one_that_may_not_be_read_is_told_and_the_pods_stay():
    standing, _notes = checksums(SecretsApi(login=LOGIN))
    api = SecretsApi()
    api.forbidden = {f"{SECRETS}/login"}
    api.objects["/apis/apps/v1/namespaces/n/deployments/graph"] = {
        "spec": {"template": {"metadata": {"annotations": {CHECKSUM: standing}}}}
    }
    value, (sentence,) = checksums(api)
    assert value == standing
    assert sentence.startswith(
        "Secret login in n may not be read, so Deployment/graph is not rolled when it changes: grant"
    )


def test_one_that_is_not_there_has_none():
    assert checksums(SecretsApi()) == (None, [])


def test_objects_that_name_none_are_left_as_they_are():
    api = SecretsApi(login=LOGIN)
    assert checksums(api, workload(rolls_on="")) == (None, [])
    assert api.paths == []


def test_an_error_of_the_cluster_is_not_taken_for_a_refusal():
    class Broken(SecretsApi):
        def find(self, path):
            raise ApiError(500, {}, "broken")

    with pytest.raises(ApiError):
        checksums(Broken())
