# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A member is of its group and kind: any served version reaches it, and none is forgotten because its own is not."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import (
    Cluster as RealCluster,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import PART_OF, Ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _plan, _prune, _unserved
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._history import Member, ReleaseRecord
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step

RECORD = ReleaseRecord("demo", "home")
OLD = Member("bug.example/v1alpha1", Ref("bug.example", "Doodad", "home", "one"))
PATH = "/apis/bug.example/%s/namespaces/home/doodads/one"
UNSERVED = ApiError(404, {}, "the cluster knows nothing at that path")


class UnservedCluster:
    """One Doodad, reached in whichever version is served; ``definition``: whether its kind is defined at all."""

    def __init__(self, *served, definition=True, may_list=True):
        self.served, self.definition, self.may_list, self.deleted = list(served), definition, may_list, []

    def request(self, _verb, path):
        if path == "/apis/bug.example" and self.served:
            versions = [{"groupVersion": f"bug.example/{version}"} for version in self.served]
            return {"preferredVersion": versions[-1], "versions": versions}
        if path.removeprefix("/apis/bug.example/") in self.served:
            row = {"kind": "Doodad", "name": "doodads", "namespaced": True, "verbs": ["get", "list", "delete"]}
            return {"resources": [row]}
        raise UNSERVED

    def list(self, path, **_more):
        assert path == _unserved.CRDS
        if not self.may_list:
            raise ApiError(403, {}, "you may not")
        names = {"group": "bug.example", "names": {"kind": "Doodad"}}
        return [{"spec": names}] if self.definition else []

    def find(self, path):
        labels = {PART_OF: RECORD.id}
        obj = {"kind": "Doodad", "metadata": {"name": "one", "namespace": "home", "uid": "u", "labels": labels}}
        return obj if path in [PATH % version for version in self.served] else None

    def delete(self, path, uid, dry_run=False):
        if path not in [PATH % version for version in self.served]:
            raise UNSERVED
        self.deleted.append(path)
        return {}


def candidates(cluster, discovery=None, lines=None):
    return _prune.find_candidates(
        cluster, discovery or Discovery(cluster), [OLD], RECORD.id, delete_data=False, parallelism=1,
        say=(lines if lines is not None else []).append,
    )  # fmt: skip


@pytest.mark.parametrize("served", [["v1alpha1", "v1"], ["v1"], ["v2beta1", "v2"]])
def test_any_served_version_reaches_a_member(served):
    cluster = UnservedCluster(*served)
    _prune.delete(cluster, Discovery(cluster), candidates(cluster), parallelism=1)
    assert cluster.deleted == [PATH % ("v1alpha1" if "v1alpha1" in served else served[-1])]


def test_a_version_that_this_very_release_stops_is_left_for_another():
    cluster = UnservedCluster("v1alpha1", "v1")
    discovery = Discovery(cluster)
    obj = candidates(cluster, discovery)
    cluster.served = ["v1"]
    _prune.delete(cluster, discovery, obj, parallelism=1)
    assert cluster.deleted == [PATH % "v1"]


@pytest.mark.parametrize("may_list", [True, False])
def test_a_kind_that_is_served_in_no_version_is_refused_by_name(may_list):
    with pytest.raises(ClusterError, match=r"serves no version of Doodad of bug.example, .*: one cannot be reached"):
        candidates(UnservedCluster(may_list=may_list))


def test_members_gone_with_their_definition_are_reported_and_forgotten():
    lines = []
    assert candidates(UnservedCluster(definition=False), lines=lines) == []
    assert lines == ["Doodad of bug.example is known to the cluster no more: one went with its definition"]


def test_a_stored_object_goes_back_in_a_version_that_is_served():
    stored = {"apiVersion": "bug.example/v1alpha1", "kind": "Doodad", "metadata": {"name": "one"}}
    versions = [{"name": "v1alpha1", "served": True}]
    spec = {"group": "bug.example", "names": {"kind": "Doodad"}, "versions": versions}
    definition = {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "spec": spec}
    discovery = Discovery(UnservedCluster("v1"))
    assert [version for _item, version in _unserved.in_served_versions(discovery, [stored])] == ["bug.example/v1"]
    assert [
        version for item, version in _unserved.in_served_versions(discovery, [stored, definition]) if item is stored
    ] == [""]


def test_an_object_in_a_version_that_its_release_stops_serving_is_refused():
    spec = {"group": "bug.example", "names": {"kind": "Doodad"}, "versions": [
        {"name": "v1alpha1", "served": False}, {"name": "v1", "served": True},
    ]}  # fmt: skip
    served = {(group, kind): versions for group, kind, versions in _unserved.served_by(
        [{"kind": "CustomResourceDefinition", "spec": spec}, {"kind": "CustomResourceDefinition", "spec": "odd"}]
    )}  # fmt: skip
    step = Step({"apiVersion": "bug.example/v1alpha1", "kind": "Doodad"}, OLD.ref)
    assert "write it in v1" in str(_plan._unserved_version(served, step))
    step.manifest["apiVersion"] = "bug.example/v1"
    assert _plan._unserved_version(served, step) is None


@pytest.mark.parametrize(
    ("status", "reason", "message", "settled"),
    [
        (404, "NotFound", 'doodads "one" not found', True),
        (404, "", "404 page not found", False),
        (409, "Conflict", "the UID in the precondition (a) does not match the UID in record (b)", True),
        (409, "Conflict", "The system is ensuring all content is removed from this namespace.", True),
        (409, "Conflict", "the object has been modified; please apply your changes to the latest version", False),
        (409, "", 'admission webhook "guard" denied the request: still in use', False),
    ],
)
def test_a_delete_that_was_refused_is_no_delete(status, reason, message, settled):
    class Refusing(RealCluster):
        def __init__(self):
            pass

        def request(self, *_more):
            raise ApiError(status, {"reason": reason}, message)

    if settled:
        assert Refusing().delete("/x", "a") == {}
    else:
        with pytest.raises(ApiError):
            Refusing().delete("/x", "a")
