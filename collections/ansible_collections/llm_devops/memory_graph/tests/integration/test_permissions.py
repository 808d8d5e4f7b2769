# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A deployer's manifest on the real API server: it suffices, and preflight names whatever is taken away from it."""

from __future__ import annotations

import copy
import os
import re
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import _check_access
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._context import PreflightContext
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._permissions import (
    PlannedRelease,
    manifest,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._preflight import Preflight
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams

AUTHORIZER_TIMEOUT_S = 60
"""The time after which the API server's authoriser must know a changed Role; usually milliseconds."""

SENTENCE = re.compile(r"you may not ([a-z]+(?:, [a-z]+)*) ([a-z0-9./]+) ")


def workload(kind, name):
    labels = {"app": name}
    pod = {"serviceAccountName": "demo", "priorityClassName": "system-cluster-critical",
           "volumes": [{"name": "keys", "secret": {"secretName": "brought-by-hand"}}],
           "containers": [{"name": "main", "image": "nowhere.invalid/none:1"}]}  # fmt: skip
    spec = {"replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod}}  # fmt: skip
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def objects(sandbox):
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "demo", "namespace": sandbox.name}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    pods = {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["demo-0"], "verbs": ["get"]}
    return [
        sandbox.namespace,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "demo"}},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "demo"}, "rules": [pods]},
        {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": {"name": "demo"}, "subjects": [subject],
         "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "demo"}},
        {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": {"name": "viewer"}, "subjects": [subject],
         "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "view"}},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": f"{sandbox.name}-scraper"},
         "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]},
        sandbox.config(),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"KEY": "value"}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo"}, "spec": {"ports": [{"port": 80}]}},
        workload("StatefulSet", "demo"),
        workload("Deployment", "other"),
    ]  # fmt: skip


class Deployer:
    """A ServiceAccount with the rights of the manifest, whose Roles the test may change."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.objects = objects(sandbox)
        manifests = prepared(self.objects, "demo", sandbox.name)
        self.granted = manifest(
            PlannedRelease("demo", sandbox.name, manifests, Discovery(sandbox.cluster).find), account="deployer"
        )
        for item in self.granted:
            self.write(item)
        self.write(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "brought-by-hand", "namespace": sandbox.name}}
        )
        token = sandbox.cluster.request("POST", sandbox.path("serviceaccounts/deployer/token"), None, {"spec": {}})
        config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        config["users"] = [{**user, "user": {"token": token["status"]["token"]}} for user in config["users"]]
        self.options = {"kubeconfig": config}

    def write(self, item):
        resource = Discovery(self.sandbox.cluster).find(item["apiVersion"], item["kind"])
        path = resource.path(item["metadata"].get("namespace"), item["metadata"]["name"])
        how = {"fieldManager": "administrator", "force": "true"}
        self.sandbox.cluster.request("PATCH", path, how, item, "application/apply-patch+yaml")

    def release(self, *objects, **params):
        return Release(
            connect(self.options),
            ReleaseParams("demo", self.sandbox.name, list(objects), **params),
            lambda *_line: None,
        )

    def lacking(self):
        """Return the permissions that preflight says are lacking."""
        cluster = connect(self.options)
        manifests = prepared(self.objects, "demo", self.sandbox.name)
        context = PreflightContext(cluster, "demo", self.sandbox.name, manifests, Discovery(cluster))
        _check_access.permissions(context)
        return [item["message"] for item in (*context.problems, *context.notes)]

    def roles(self):
        return [item for item in self.granted if item["kind"] in ("Role", "ClusterRole")]


@pytest.fixture
def deployer(sandbox):
    deployer_account = Deployer(sandbox)
    yield deployer_account
    root = "/apis/rbac.authorization.k8s.io/v1"
    for plural in ("clusterroles", "clusterrolebindings"):
        sandbox.cluster.delete(f"{root}/{plural}/{sandbox.name}-deployer")
    sandbox.cluster.delete(f"{root}/clusterroles/{sandbox.name}-scraper")


def test_manifest_suffices_from_the_first_release_to_its_end(deployer, sandbox):
    preflight = Preflight(
        connect(deployer.options), sandbox.name, prepared(deployer.objects, "demo", sandbox.name), "demo"
    )
    preflight.run()
    assert preflight.problems == []
    first = deployer.release(*deployer.objects).present()
    assert first.failures == []
    second = deployer.release(*deployer.objects).present()
    assert (second.failures, second.differs, second.written) == ([], False, False)
    third = deployer.release(*(item for item in deployer.objects if item["kind"] != "ConfigMap")).present()
    assert (third.failures, third.pruned) == ([], 1)
    teardown = deployer.release(wait_timeout=30).absent()
    assert teardown.failures == []
    assert {str(entry.member.ref) for entry in teardown.prune_candidates if entry.action == "kept"} == {
        f"Namespace/{sandbox.name}",
        "PersistentVolumeClaim/data",
    }
    assert sandbox.get("services/demo") is None


def test_preflight_names_every_rule_that_is_taken_away(deployer):
    """So the manifest has no rule too many, and preflight asks after every rule that a release needs."""
    assert deployer.lacking() == []
    tried = 0
    for role in deployer.roles():
        for position, rule in enumerate(role["rules"]):
            less = copy.deepcopy(role)
            del less["rules"][position]
            deployer.write(less)
            expected = set(pairs_of(rule))
            named = eventually(deployer, expected.issubset)
            assert expected <= named, f"{rule}: {deployer.lacking()}"
            tried += 1
        deployer.write(role)
    assert tried > 20
    assert eventually(deployer, lambda named: not named) == set()


def pairs_of(rule):
    """Yield the ``(verb, resource)`` pairs of a rule as a sentence says them."""
    for verb in rule["verbs"]:
        yield from ((verb, path) for path in rule.get("nonResourceURLs") or [])
        for group in rule.get("apiGroups") or []:
            yield from ((verb, f"{resource}.{group}" if group else resource) for resource in rule["resources"])


def eventually(deployer, condition):
    """Return the ``(verb, resource)`` pairs that preflight names, once they meet the condition or the time is over."""
    end = time.monotonic() + AUTHORIZER_TIMEOUT_S
    while True:
        sentences = [SENTENCE.match(f"{message} ") for message in deployer.lacking()]
        named = {(verb, sentence[2]) for sentence in sentences if sentence for verb in sentence[1].split(", ")}
        if condition(named) or time.monotonic() > end:
            return named


def test_what_others_own_is_out_of_reach(deployer, sandbox):
    """Rules name their objects: the same verbs on another object of the kind are refused."""
    sandbox.cluster.request("POST", sandbox.path("configmaps"), None, {"metadata": {"name": "theirs"}})
    others = connect(deployer.options)
    for verb, path, body in (
        ("GET", "configmaps/theirs", None),
        ("DELETE", "configmaps/theirs", {}),
        ("DELETE", "persistentvolumeclaims/data", {}),
        ("POST", "configmaps", {"metadata": {"name": "new"}}),
    ):
        with pytest.raises(_check_access.ApiError) as caught:
            others.request(verb, sandbox.path(path), None, body)
        assert caught.value.status == 403, path
    assert sandbox.get("configmaps/theirs")
