# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The owner of an object, fields that come to us with it, and fields that go as nobody owns them."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import FIELD_MANAGER
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import _fields, _ownership
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import PART_OF, Ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _immutable
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step

OURS = "applyset-ours-v1"
REF = Ref("", "ConfigMap", "home", "app")
DATA = {"f:data": {".": {}, "f:one": {}, "f:two": {}}}
LAST = {"f:metadata": {"f:annotations": {".": {}, _ownership.LAST_APPLIED: {}}}}


def entry(manager, fields, operation="Update", **more):
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields, **more}


def live(*entries, labels=None, annotations=None, **content):
    metadata = {"name": "app", "labels": labels or {}, "annotations": annotations or {}, "managedFields": list(entries)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **content}


@pytest.mark.parametrize(
    ("obj", "force", "sentence"),
    [
        (live(labels={PART_OF: "applyset-theirs-v1"}), True, "belongs to another release"),
        (live(annotations={"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "web"}), False,
         "belongs to release 'shop' in web of Helm"),
        (live(labels={"app.kubernetes.io/managed-by": "Helm"}), False, "belongs to a release of Helm"),
    ],
)  # fmt: skip
def test_what_is_another_s_is_refused_by_its_owner(obj, force, sentence):
    assert sentence in str(_ownership.refusal(REF, obj, OURS, force=force))


@pytest.mark.parametrize(
    ("obj", "force"),
    [
        (None, False), (live(), False), (live(labels={PART_OF: OURS}), False),
        (live(labels={PART_OF: OURS, "app.kubernetes.io/managed-by": "Helm"}), False),
        (live(annotations={"meta.helm.sh/release-name": "shop"}), True),
    ],
)  # fmt: skip
def test_what_is_nobody_s_ours_or_taken_by_force_is_applied(obj, force):
    assert _ownership.refusal(REF, obj, OURS, force=force) is None


def test_only_fields_of_tools_that_apply_come_with_the_object():
    edited = entry("kubectl-edit", {"f:data": {"f:three": {}}})
    status = entry("kubectl-client-side-apply", {"f:status": {}}, subresource="status")
    for obj in (
        live(entry("kubectl-client-side-apply", DATA), edited, status),
        live(entry("ci", _fields.joined(DATA, LAST)), edited),
        live(entry("helm", DATA), edited, annotations={"meta.helm.sh/release-name": "shop"}),
    ):
        assert set(_ownership.inherited(obj, OURS, force=False)["f:data"]) == {".", "f:one", "f:two"}
    assert _ownership.inherited(live(edited), OURS, force=True) == {}
    ours = live(entry("kubectl-client-side-apply", DATA), labels={PART_OF: OURS})
    assert _ownership.inherited(ours, OURS, force=False) == {}  # somebody applied by hand since: a conflict, or left
    assert _ownership.inherited(ours, OURS, force=True) == DATA


def test_what_nobody_applies_any_more_goes_and_what_another_owns_stays():
    obj = live(entry("kubectl-client-side-apply", DATA), entry("operator", {"f:data": {"f:two": {}}}))
    after = live(entry(FIELD_MANAGER, {"f:data": {"f:zero": {}}}, "Apply"))
    assert _ownership.goes(obj, after, DATA) == {"f:data": {"f:one": {}}}
    assert _ownership.goes(live(), live(), DATA) == DATA


def test_a_preview_says_what_goes_as_a_strategic_merge():
    sent = []

    class PreviewCluster:
        def request(self, *request):
            sent.append(request)
            return live(entry(FIELD_MANAGER, {"f:data": {"f:one": {}}}))

    env = {'k:{"name":"c"}': {"f:env": {'k:{"name":"B"}': {".": {}, "f:name": {}}}, "f:tty": {}}}
    removed = {"f:spec": {"f:containers": env, "f:strategy": {".": {}}},
               "f:metadata": {"f:finalizers": {'v:"x"': {}}, "f:labels": {"f:a": {}}}}  # fmt: skip
    manifest = {"apiVersion": "v1", "metadata": {"name": "app"}, "spec": {"containers": [{"name": "c", "env": []}]}}
    after = _ownership.preview(PreviewCluster(), "/x", manifest, removed, {"f:data": {"f:two": {}}})
    assert sent[0][3]["spec"] == {
        "strategy": None,
        "containers": [{"name": "c", "tty": None, "env": [{"name": "B", "$patch": "delete"}]}],
    }
    assert sent[0][3]["metadata"] == {
        "name": "app",
        "$deleteFromPrimitiveList/finalizers": ["x"],
        "labels": {"a": None},
    }
    assert after["metadata"]["managedFields"][0]["fieldsV1"] == {"f:data": {"f:one": {}, "f:two": {}}}


def test_without_a_merge_fields_and_items_are_cut_out():
    obj = {
        "data": {"one": 1, "two": 2},
        "only": {"x": 1},
        "env": [{"name": "A"}, {"name": "B", "value": 1}],
        "s": ["x", "y"],
    }
    fields = {
        "f:data": {"f:two": {}},
        "f:only": {"f:x": {}},
        "f:env": {'k:{"name":"B"}': {".": {}}},
        "f:s": {'v:"x"': {}},
    }
    assert _fields.without(obj, fields) == {"data": {"one": 1}, "env": [{"name": "A"}], "s": ["y"]}


def test_only_a_default_that_nobody_owns_is_taken_away():
    path = "spec.strategy.rollingUpdate"
    error = ApiError(
        422, {"details": {"causes": [{"field": path}, {"field": "spec.a[0].b"}, {"field": "spec.x"}]}}, "no"
    )
    obj = live(entry(FIELD_MANAGER, {"f:spec": {"f:strategy": {"f:type": {}}}}, "Apply"),
               spec={"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}})  # fmt: skip
    manifest = {"spec": {"strategy": {"type": "Recreate"}}}
    steps = tuple(path.split("."))
    assert _ownership.forbidden_defaults(error, manifest, obj, {}) == [steps]
    assert _ownership.field_set(obj, [steps]) == {
        "f:spec": {"f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}}}
    }
    stated = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": {}}}}
    assert _ownership.forbidden_defaults(error, stated, obj, {}) == []
    obj["metadata"]["managedFields"].append(entry("rollouts", {"f:spec": {"f:strategy": {"f:rollingUpdate": {}}}}))
    assert _ownership.forbidden_defaults(error, manifest, obj, {}) == []


def test_ownership_is_rewritten_again_when_somebody_was_faster():
    obj = live(entry("kubectl-client-side-apply", DATA), entry("operator", {"f:data": {"f:x": {}}}),
               entry(FIELD_MANAGER, {"f:data": {"f:one": {}}}, "Apply"))  # fmt: skip
    versions = iter(["7", "8"])
    sent = []

    class BusyCluster:
        def find(self, _path):
            return {**obj, "metadata": {**obj["metadata"], "resourceVersion": next(versions)}}

        def request(self, *request):
            sent.append(request[3])
            if len(sent) == 1:
                raise ApiError(409, {}, "the object has been modified")

    _ownership.take(BusyCluster(), "/x", DATA, {"f:spec": {}})
    assert [patch[1]["value"] for patch in sent] == ["7", "8"]
    assert [item["manager"] for item in sent[1][0]["value"]] == ["operator", FIELD_MANAGER]
    assert set(sent[1][0]["value"][1]["fieldsV1"]["f:data"]) == {".", "f:one", "f:two"}


def test_an_unchangeable_field_of_another_s_object_names_whose_it_is():
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "labels": {PART_OF: OURS}}}
    step = Step(manifest, Ref("batch", "Job", "home", "migrate"), live=live(entry("kubectl-create", {})))
    step.error = ApiError(422, {"details": {"causes": [
        {"field": "spec.template", "message": "Invalid value: {…}: field is immutable"}]}}, "no")  # fmt: skip
    assert str(_immutable.explained(step)).startswith(
        "Job/migrate exists and is not of this release but of kubectl-create, and its spec.template cannot change"
    )
