# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The note on an object that somebody made with kubectl and a release adopts."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import FIELD_MANAGER
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import PART_OF, ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _adoption
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step

OURS = "applyset-ours-v1"
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"one": "1", "two": "2"}}
DATA = {"f:data": {".": {}, "f:one": {}, "f:two": {}}}
ENV = {".": {}, 'k:{"name":"A"}': {".": {}, "f:name": {}}, 'k:{"name":"B"}': {".": {}, "f:name": {}, "f:value": {}}}
POD = {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:env": ENV, "f:terminationMessagePath": {}}}}
WEB = {
    "apiVersion": "apps/v1", "kind": "Deployment",
    "spec": {"replicas": 5, "progressDeadlineSeconds": 600, "template": {"spec": {"containers": [
        {"name": "c", "terminationMessagePath": "/dev/termination-log", "env": [{"name": "A"}, {"name": "B"}]}]}}},
}  # fmt: skip
OF_WEB = {"f:spec": {"f:replicas": {}, "f:progressDeadlineSeconds": {}, "f:template": {"f:spec": POD}}}
THING = {"apiVersion": "x.example/v1", "kind": "Thing", "spec": {"a": 3}}
KEY, C = 'k:{"name":"c"}', "spec.template.spec.containers[c]"


def entry(manager, fields, **more):
    return {"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsV1": fields, **more}


def note_of(obj, *entries, ours=None, labels=None, annotations=None, error=None):
    metadata = {"name": "app", "namespace": "home", "labels": labels or {}, "annotations": annotations or {}}
    live = {**obj, "metadata": {**metadata, "managedFields": list(entries)}}
    own_entry = {**entry(FIELD_MANAGER, ours or {}), "operation": "Apply"}
    after = {**obj, "metadata": {**metadata, "managedFields": [*entries, own_entry]}}
    return _adoption.adoption_note(Step(after, ref(after), live=live, after=after, error=error), OURS)


@pytest.mark.parametrize(
    ("obj", "entries", "ours", "paths"),
    [
        (CONFIG, [entry("kubectl-create", DATA)], {"f:data": {"f:one": {}}}, "data.two of kubectl-create"),
        (CONFIG, [entry("kubectl-create", DATA)], {}, "data.one, data.two of kubectl-create"),
        (CONFIG, [entry("kubectl-create", {"f:data": {"f:one": {}}}), entry("kubectl-edit", {"f:data": {"f:two": {}}})],
         {}, "data.one of kubectl-create; data.two of kubectl-edit"),
        (WEB, [entry("kubectl-create", OF_WEB)], {"f:spec": {"f:template": {"f:spec": {"f:containers": {
            KEY: {"f:env": {'k:{"name":"A"}': {}}}}}}}},
         f"spec.replicas, {C}.env[B], {C}.name of kubectl-create"),
        (WEB, [entry("kubectl-create", OF_WEB)], {"f:spec": {"f:replicas": {}}},
         f"{C} of kubectl-create"),
    ],
)  # fmt: skip
def test_what_the_manifest_leaves_out_is_told_by_its_owner(obj, entries, ours, paths):
    sentence = note_of(obj, *entries, ours=ours)
    assert f"/app was there, and what the manifest leaves out of it stays: {paths} — take this into" in sentence


@pytest.mark.parametrize(
    ("obj", "entries", "more"),
    [
        (CONFIG, [entry("kubectl-create", DATA)], {"ours": DATA}),
        (CONFIG, [entry("kubectl-create", DATA)], {"ours": {"f:data": {}}}),
        (CONFIG, [entry("kubectl-create", DATA)], {"labels": {PART_OF: OURS}}),
        (CONFIG, [entry("kubectl-create", DATA)], {"error": ClusterError("no")}),
        (CONFIG, [entry("an-operator", DATA), entry("kube-controller-manager", DATA)], {}),
        (WEB, [entry("kubectl-scale", OF_WEB, subresource="scale")], {}),
        (CONFIG, [entry("kubectl-create", {"f:data": {"f:gone": {}}}), entry("kubectl", "odd")], {}),
        (THING, [entry("kubectl-create", {"f:spec": {"f:a": {}}})], {}),
    ],
)
def test_what_is_ours_gone_a_controllers_or_a_default_is_not_told(obj, entries, more):
    assert note_of(obj, *entries, **more) == ""


def test_labels_of_a_custom_resource_are_noted_the_first_of_many():
    labels = {f"l{number}": "x" for number in range(7)}
    fields = {"f:metadata": {"f:labels": {f"f:{name}": {} for name in labels}}}
    sentence = note_of(THING, entry("kubectl-create", fields), labels=labels)
    assert "metadata.labels.l0, metadata.labels.l1" in sentence
    assert "metadata.labels.l4 and 2 more of kubectl-create" in sentence


def test_a_target_port_of_its_own_is_told():
    def service(target):
        return {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": target}]}}

    service_entry = entry("kubectl-create", {"f:spec": {"f:ports": {'k:{"port":80}': {".": {}, "f:targetPort": {}}}}})
    ours = {"f:spec": {"f:ports": {'k:{"port":80}': {".": {}, "f:port": {}}}}}
    assert note_of(service(80), service_entry, ours=ours) == ""
    assert "spec.ports[80].targetPort of kubectl-create" in note_of(service(8080), service_entry, ours=ours)
