# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The permissions that a deployer needs, and the RBAC manifest that grants exactly those."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Resource
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import _permissions
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._permissions import (
    Permission,
    PlannedRelease,
    manifest,
    required_permissions,
    rules,
)
from hypothesis import given
from hypothesis import strategies as st

CLUSTER_WIDE = ("Namespace", "ClusterRole")


def served(api_version, kind):
    return Resource(api_version, kind, f"{kind.lower()}s", kind not in CLUSTER_WIDE, frozenset())


def thing(kind, name, api_version="v1", namespace="home", **more):
    metadata = {"name": name} if kind in CLUSTER_WIDE else {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def workload(kind, name="api", replicas=1):
    template = {"metadata": {}, "spec": {"containers": [{"name": "main", "image": "a:1"}]}}
    return thing(kind, name, "apps/v1", spec={"replicas": replicas, "template": template})


def plan(*objects, **more):
    return PlannedRelease("demo", "home", list(objects), served, **more)


def verbs(permissions, resource, name="", namespace="home"):
    return {
        permission.verb
        for permission in permissions
        if (permission.resource, permission.name, permission.namespace) == (resource, name, namespace)
    }


def test_writes_are_restricted_to_names_and_lists_cannot_be():
    permissions = required_permissions(plan(thing("ConfigMap", "settings")))
    assert verbs(permissions, "configmaps", "settings") == {"get", "create", "patch", "delete"}
    assert verbs(permissions, "configmaps") == {"list", "watch"}


def test_nobody_needs_to_list_secrets_or_namespaces():
    permissions = required_permissions(
        plan(thing("Namespace", "home"), thing("Secret", "keys"), thing("ConfigMap", "settings"))
    )
    listed = {permission.resource for permission in permissions if permission.verb == "list"}
    assert listed == {"configmaps", "limitranges", "resourcequotas"}
    assert verbs(permissions, "namespaces", "home", "") == {"get", "create", "patch", "watch"}


@pytest.mark.parametrize("delete_data", [True, False])
def test_data_may_be_deleted_only_when_that_is_wanted(delete_data):
    permissions = required_permissions(
        plan(thing("Namespace", "home"), thing("PersistentVolumeClaim", "data", spec={}), delete_data=delete_data)
    )
    assert ("delete" in verbs(permissions, "persistentvolumeclaims", "data")) is delete_data
    assert ("delete" in verbs(permissions, "namespaces", "home", "")) is delete_data


def test_pods_of_a_stateful_set_have_names():
    permissions = required_permissions(plan(workload("StatefulSet", replicas=2)))
    assert verbs(permissions, "pods/portforward") == set()
    for name in ("api-0", "api-1"):
        assert verbs(permissions, "pods/portforward", name) == {"get", "create"}
        assert verbs(permissions, "pods", name) == {"delete"}


@pytest.mark.parametrize(
    "other", [workload("Deployment", "web"), thing("HorizontalPodAutoscaler", "api", "autoscaling/v2", spec={})]
)
def test_pods_whose_names_nobody_knows_are_not_restricted(other):
    permissions = required_permissions(plan(workload("StatefulSet"), other))
    assert verbs(permissions, "pods/portforward") == {"get", "create"}
    assert verbs(permissions, "pods") == {"list", "watch", "delete"}


def test_deployments_pods_are_not_deleted():
    assert "delete" not in verbs(required_permissions(plan(workload("Deployment"))), "pods")


def test_what_the_roles_of_the_release_grant_is_held():
    """RBAC refuses a Role with more than its author has, and a binding likewise; escalate is never asked for."""
    rule = {"apiGroups": [""], "resources": ["pods", "pods/log"], "resourceNames": ["a"], "verbs": ["get"]}
    reference = {"apiGroup": _permissions.RBAC, "kind": "Role", "name": "own"}
    permissions = required_permissions(
        plan(
            thing("Role", "own", f"{_permissions.RBAC}/v1", rules=[rule]),
            thing("RoleBinding", "own", f"{_permissions.RBAC}/v1", roleRef=reference),
            thing(
                "RoleBinding",
                "other",
                f"{_permissions.RBAC}/v1",
                roleRef={**reference, "kind": "ClusterRole", "name": "view"},
            ),
            thing(
                "ClusterRole",
                "scrape",
                f"{_permissions.RBAC}/v1",
                rules=[{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
            ),
        )
    )
    granted = {
        (permission.namespace, permission.resource, permission.name, permission.path)
        for permission in permissions
        if permission.granted
    }
    assert granted == {("home", "pods", "a", ""), ("home", "pods/log", "a", ""), ("", "", "", "/metrics")}
    assert [(permission.resource, permission.name) for permission in permissions if permission.verb == "bind"] == [
        ("clusterroles", "view")
    ]
    assert not any(permission.verb == "escalate" for permission in permissions)


def test_what_is_asked_for_all_names_is_not_asked_for_one():
    permissions = required_permissions(plan(thing("ConfigMap", "a"), thing("ConfigMap", "b")))
    assert verbs(permissions, "configmaps") == {"list", "watch"}
    assert verbs(permissions, "configmaps", "a") == {"get", "create", "patch", "delete"}


def test_no_secret_but_those_of_the_release_is_needed():
    permissions = required_permissions(plan(thing("Secret", "keys"), history_limit=2))
    named = {permission.name for permission in permissions if permission.resource == "secrets"}
    assert named == {"keys", "demo-release", *(f"demo-release.slot{slot}" for slot in (1, 2, 3))}
    assert verbs(permissions, "secrets", "demo-release.slot3") == {"get", "create", "patch", "delete"}


def test_a_volume_that_a_claim_asks_for_by_name_may_be_looked_for():
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    permissions = required_permissions(
        plan(thing("PersistentVolumeClaim", "data", spec={**spec, "volumeName": "disk"}))
    )
    assert verbs(permissions, "persistentvolumes", "disk", "") == {"get"}
    assert not [
        permission for permission in permissions if permission.resource == "persistentvolumes" and permission.essential
    ]
    plain = required_permissions(plan(thing("PersistentVolumeClaim", "data", spec=spec)))
    assert not [permission for permission in plain if permission.resource == "persistentvolumes"]


NAMES = st.sampled_from(["a", "b", "c"])
PERMISSIONS = st.lists(
    st.builds(Permission, st.sampled_from(["", "home"]), NAMES, NAMES, NAMES, st.sampled_from(["", "x", "y"]))
)


def permissions_of(namespace, rule):
    """Every single permission a rule gives."""
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for name in rule.get("resourceNames", [""]):
                yield from (Permission(namespace, group, resource, verb, name) for verb in rule["verbs"])


@given(PERMISSIONS)
def test_rules_say_what_is_needed_and_nothing_else(expected):
    given_rules = [
        permission
        for namespace, held in rules(expected).items()
        for rule in held
        for permission in permissions_of(namespace, rule)
    ]
    assert sorted(given_rules) == sorted(set(expected))


def test_manifest_brings_the_namespace_only_where_the_release_does():
    kinds = [item["kind"] for item in manifest(plan(thing("Namespace", "home")), account="deployer")]
    assert kinds[:2] == ["Namespace", "ServiceAccount"]
    least = manifest(plan(thing("ConfigMap", "settings")), account="deployer", optional=False)
    assert [item["kind"] for item in least] == ["ServiceAccount", "Role", "RoleBinding"]
    assert least[0]["automountServiceAccountToken"] is False
    assert least[2]["subjects"] == [{"kind": "ServiceAccount", "name": "deployer", "namespace": "home"}]


def test_cluster_roles_of_two_releases_do_not_meet():
    def cluster_roles(home):
        permissions = manifest(PlannedRelease("demo", home, [thing("Namespace", home)], served), account="deployer")
        return {item["metadata"]["name"] for item in permissions if item["kind"] == "ClusterRole"}

    permission, two = cluster_roles("one"), cluster_roles("two")
    assert permission
    assert not permission & two


def test_what_comes_before_a_release_is_needed_too():
    graph = plan(thing("ConfigMap", "settings"))
    database = PlannedRelease(
        "db", "data", [thing("ConfigMap", "db", namespace="data")], served, create_secrets=("login",)
    )
    brokers = PlannedRelease("kafka", "streams", [], served, read_secrets=("kafka-login",))
    permissions = required_permissions(graph, database, brokers)
    assert verbs(permissions, "secrets", "login", "data") == {"get"}
    assert verbs(permissions, "secrets", namespace="data") == {"create"}, "a POST is authorised without a name"
    assert verbs(permissions, "secrets") == set()
    assert verbs(permissions, "configmaps", "db", "data") == {"get", "create", "patch", "delete"}
    assert [permission for permission in permissions if permission.namespace == "streams"] == [
        Permission("streams", "", "secrets", "get", "kafka-login")
    ], "nothing is released there"


def test_one_account_makes_several_releases():
    database = PlannedRelease("db", "data", [thing("ConfigMap", "db", namespace="data")], served, create_namespace=True)
    permissions = manifest(plan(thing("Namespace", "home")), database, account="deployer", optional=False)
    brought = {
        item["metadata"]["name"]: item["metadata"].get("labels") for item in permissions if item["kind"] == "Namespace"
    }
    assert brought["home"] is None, "its release gives it labels"
    assert brought["data"]["pod-security.kubernetes.io/enforce"] == "restricted", "nobody would give it any later"
    accounts = [item["metadata"]["namespace"] for item in permissions if item["kind"] == "ServiceAccount"]
    roles = [item["metadata"]["namespace"] for item in permissions if item["kind"] == "Role"]
    assert (accounts, roles) == (["home"], ["data", "home"])
