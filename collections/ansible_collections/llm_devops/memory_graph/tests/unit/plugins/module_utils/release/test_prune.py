# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The objects of a namespace that a release may delete: never one of somebody else, whatever it looks like."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import FIELD_MANAGER
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import _applyset_parent
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import PART_OF, Ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _applyset, _prune
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._history import Member, ReleaseRecord
from hypothesis import given
from hypothesis import strategies as st

RECORD = ReleaseRecord("demo", "home")
PLURALS = {"ConfigMap": "configmaps", "Secret": "secrets", "Service": "services", "Namespace": "namespaces",
           "Deployment": "deployments"}  # fmt: skip
VERBS = ["get", "list", "watch", "create", "patch", "delete"]


class MemberCluster:
    """As much of an API server as members and pruning ask; ``forbidden`` are plurals that may not be listed."""

    def __init__(self, objects, forbidden=()):
        self.objects, self.forbidden, self.deleted, self.lists = objects, forbidden, [], []

    def request(self, _verb, path):
        if path == "/apis/apps":
            return {"preferredVersion": {"groupVersion": "apps/v1"}, "versions": [{"groupVersion": "apps/v1"}]}
        if path not in ("/api/v1", "/apis/apps/v1"):
            raise ApiError(404, {}, f"nothing at {path}")
        rows = ["Deployment"] if path.endswith("apps/v1") else [kind for kind in PLURALS if kind != "Deployment"]
        named = [
            {"kind": kind, "name": PLURALS[kind], "namespaced": kind != "Namespace", "verbs": VERBS} for kind in rows
        ]
        return {"resources": named}

    def list(self, path, selector=""):
        plural = path.rpartition("/")[2]
        self.lists.append(path)
        if plural in self.forbidden:
            raise ApiError(403, {}, "forbidden")
        label, _equals, value = selector.partition("=")
        for item in self.objects:
            home = item["metadata"].get("namespace")
            is_selected = not home or f"/namespaces/{home}/" in path
            if (
                PLURALS[item["kind"]] == plural
                and is_selected
                and item["metadata"].get("labels", {}).get(label) == value
            ):
                yield item

    def find(self, path):
        return next((item for item in self.objects if where(item) == path), None)

    def delete(self, path, uid, dry_run=False):
        self.deleted.append((path, uid, dry_run))
        return {}


def where(item):
    root = "/apis/apps/v1" if item["kind"] == "Deployment" else "/api/v1"
    home = item["metadata"].get("namespace")
    prefix = f"/namespaces/{home}" if home else ""
    return f"{root}{prefix}/{PLURALS[item['kind']]}/{item['metadata']['name']}"


def thing(kind, name, namespace="home", *, applyset=RECORD.id, managers=(FIELD_MANAGER,), controlled=False):
    labelled = {"fieldsV1": {"f:metadata": {"f:labels": {f"f:{PART_OF}": {}}}}}
    metadata = {
        "name": name,
        "uid": f"{kind}-{name}",
        "managedFields": [{"manager": manager, **labelled} for manager in managers],
    }
    if kind != "Namespace":
        metadata["namespace"] = namespace
    if applyset:
        metadata["labels"] = {PART_OF: applyset}
    if controlled:
        metadata["ownerReferences"] = [{"kind": "Whoever", "name": "owner", "controller": True}]
    return {"apiVersion": "apps/v1" if kind == "Deployment" else "v1", "kind": kind, "metadata": metadata}


things = st.lists(
    st.builds(
        thing, st.sampled_from(sorted(PLURALS)), st.sampled_from(["a", "b", "c"]), st.sampled_from(["home", "away"]),
        applyset=st.sampled_from([RECORD.id, "", "applyset-other-v1"]),
        managers=st.sampled_from([(), (FIELD_MANAGER,), ("kubectl",), ("operator",), ("operator", FIELD_MANAGER)]),
        controlled=st.booleans(),
    ),
    unique_by=where, max_size=12,
)  # fmt: skip


def ours(item):
    labels, owners = item["metadata"].get("labels") or {}, item["metadata"].get("ownerReferences")
    managers = [entry["manager"] for entry in item["metadata"]["managedFields"]]
    put = not managers or FIELD_MANAGER in managers or "kubectl" in managers
    return labels.get(PART_OF) == RECORD.id and not owners and put


@given(things, st.sets(st.sampled_from(["a", "b", "c"])), st.booleans(), st.booleans())
def test_prune_deletes_only_what_is_ours_and_left(objects, staying, delete_data, recorded):
    """Also when the record lies, and says of everything that it is a member."""
    cluster = MemberCluster(objects)
    refs = [_prune.ref(item) for item in objects]
    recorded_members = tuple(Member(item["apiVersion"], _prune.ref(item)) for item in objects) if recorded else ()
    hints = _applyset_parent.ApplySetAnnotations(
        kinds=("ConfigMap", "Deployment.apps", "Secret", "Service"), namespaces=("away",)
    )
    record = ReleaseRecord("demo", "home", members=recorded_members, hints=hints)
    members = _prune.members(cluster, Discovery(cluster), record, (), seen=(), parallelism=1)
    removed = _prune.removed_members(members, [identity for identity in refs if identity.name in staying])
    candidates = _prune.find_candidates(
        cluster, Discovery(cluster), removed, RECORD.id, delete_data=delete_data, parallelism=1
    )
    _prune.delete(cluster, Discovery(cluster), candidates, parallelism=1)
    deleted = {path for path, _uid, _dry_run in cluster.deleted}
    for item in objects:
        doomed = ours(item) and item["metadata"]["name"] not in staying and (item["kind"] != "Namespace" or delete_data)
        if item["kind"] == "Namespace" and not recorded:  # neither the record nor the hints speak of the kind
            doomed = False
        assert (where(item) in deleted) == doomed, item
    assert all(uid for _path, uid, _dry_run in cluster.deleted), "each only while it is still the one that was judged"


def test_members_are_looked_for_only_where_planning_has_not_looked():
    class PlannedStep:
        def __init__(self, kind, group, name):
            self.ref = Ref(group, kind, "home", name)
            self.resource = Discovery(cluster).find("apps/v1" if group else "v1", kind)

    cluster = MemberCluster([thing("ConfigMap", "stray"), thing("Secret", "stray")])
    steps = [PlannedStep("ConfigMap", "", "a"), PlannedStep("Deployment", "apps", "b"), PlannedStep("Secret", "", "c")]
    members = _prune.members(cluster, Discovery(cluster), RECORD, steps, seen=cluster.objects[:1], parallelism=1)
    assert [str(item.ref) for item in members] == ["ConfigMap/stray", "Secret/stray"]
    assert cluster.lists == ["/api/v1/namespaces/home/secrets"]


def test_kinds_that_may_not_be_listed_are_passed_over_when_asked_so():
    cluster = MemberCluster([thing("Secret", "a"), thing("ConfigMap", "b")], forbidden=("secrets",))
    members = _applyset.members(cluster, Discovery(cluster), RECORD.id, ["Secret", "ConfigMap"], ["home"], lenient=True)
    assert [item["metadata"]["name"] for item in members] == ["b"]
    with pytest.raises(ApiError):
        _applyset.members(cluster, Discovery(cluster), RECORD.id, ["Secret"], ["home"])


def test_hints_of_kinds_that_are_served_no_more_find_nothing():
    cluster = MemberCluster([thing("ConfigMap", "b")])
    kinds, resources = ["Gone.example.org", "Pancake"], ["pancakes", "gone.example.org"]
    members = _applyset.members(cluster, Discovery(cluster), RECORD.id, kinds, ["home"], group_resources=resources)
    assert members == []


@pytest.mark.parametrize(
    ("annotations", "kinds", "resources"),
    [
        ({"contains-group-kinds": "Deployment.apps,ConfigMap"}, ("ConfigMap", "Deployment.apps"), ()),
        ({"contains-group-resources": "deployments.apps"}, (), ("deployments.apps",)),
        ({"contains-group-kinds": "", "contains-group-resources": "services"}, (), ()),
        ({}, (), ()),
    ],
)
def test_hints_read_both_annotations_and_prefer_the_present_one(annotations, kinds, resources):
    named = {f"applyset.kubernetes.io/{key}": value for key, value in annotations.items()}
    named["applyset.kubernetes.io/additional-namespaces"] = "b,a"
    members = _applyset_parent.hints({"metadata": {"name": "demo-release", "namespace": "home", "annotations": named}})
    assert (members.kinds, members.resources, members.namespaces) == (kinds, resources, ("a", "b", "home"))


def test_a_deleted_namespace_takes_its_objects_and_maybe_the_rights():
    class DeletedNamespaceCluster(MemberCluster):
        def find(self, path):
            self.lists.append(path)
            raise ApiError(401, {}, "the service account was in that namespace")

    cluster = DeletedNamespaceCluster([])
    namespace, secret = Ref("", "Namespace", "", "home"), Ref("", "Secret", "home", "a")
    items = [
        _prune.PruneCandidate(Member("v1", namespace), "pruned", "/api/v1/namespaces/home", "1", 0),
        _prune.PruneCandidate(Member("v1", secret), "pruned", "/api/v1/namespaces/home/secrets/a", "2", 1),
    ]
    assert _prune.await_gone(cluster, items, 30) == []
    assert cluster.lists == ["/api/v1/namespaces/home"]
    with pytest.raises(ApiError):
        _prune.await_gone(cluster, items[1:], 30)
