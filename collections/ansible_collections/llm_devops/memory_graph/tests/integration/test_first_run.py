# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A first run asks about few of its objects and still knows all that is wrong before it writes any of them."""

from __future__ import annotations

import copy
import time

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams

COUNT = 30


@pytest.fixture
def sandbox(sandbox):
    """A sandbox whose namespace exists, so that a dry run can validate its objects."""
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, sandbox.namespace)
    return sandbox


def first_run(sandbox, objects, cluster=None):
    params = ReleaseParams("demo", sandbox.name, objects=objects, wait=False)
    release = Release(cluster or connect({}), params, lambda *_line: None)
    return release.present(), release.cluster.api_calls


def settings(number):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"settings-{number}"},
            "data": {"NUMBER": str(number)}}  # fmt: skip


def paused(number):
    labels = {"app": f"web-{number}"}
    container = {"name": "main", "image": "x:1", "env": [{"name": "NUMBER", "value": str(number)}],
                 "resources": {"requests": {"cpu": "100m"}}}  # fmt: skip
    template = {"metadata": {"labels": {**labels}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "paused": True, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"web-{number}"}, "spec": spec}


def test_equivalent_objects_are_asked_about_once(sandbox):
    objects = [make(number) for number in range(COUNT) for make in (settings, paused)]
    outcome, calls = first_run(sandbox, copy.deepcopy(objects))
    assert outcome.failures == []
    assert outcome.count("created") == 2 * COUNT
    assert calls < 2 * COUNT + 35  # and not 4 * COUNT
    again, calls = first_run(sandbox, objects)
    assert (again.differs, again.failures) == (False, [])
    assert calls < 15


def test_every_character_arrives(sandbox):
    """The API server reads an apply as YAML, which has no surrogate pairs and no control characters."""
    text = "smile \U0001f600 \x7f \x85 \x9f \u2028 \ufeff \uffff \x01 \t \n \\ud83d"
    outcome, _calls = first_run(sandbox, [{**settings(0), "data": {"said": text}}])
    assert outcome.failures == []
    assert sandbox.get("configmaps/settings-0")["data"] == {"said": text}


def wrong(change):
    odd = paused(COUNT)
    change(odd, odd["spec"]["template"]["spec"]["containers"][0])
    return odd


def named(name):
    return {**settings(0), "metadata": {"name": name}}


WRONG = {
    "an unknown field": (wrong(lambda obj, main: main.update(imagee="x")), "imagee"),
    "a wrong type": (wrong(lambda obj, main: main.update(ports="none")), "ports"),
    "a missing required field": (wrong(lambda obj, main: main.pop("name")), "name"),
    "no word of an enumeration": (wrong(lambda obj, main: main.update(imagePullPolicy="Sometimes")), "Sometimes"),
    "a selector of other pods": (
        wrong(lambda obj, main: obj["spec"]["selector"]["matchLabels"].update(app="other")),
        "selector",
    ),
    "a value that is a number": (wrong(lambda obj, main: main["env"][0].update(value=7)), "value"),
    "a name with capitals": (named("Settings"), "Settings"),
    "a label that is none": (
        {**settings(COUNT), "metadata": {"name": "x", "labels": {"app": "no label"}}},
        "no label",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_one_wrong_object_among_many_is_known_before_the_first_write(sandbox, mistake):
    odd, text = WRONG[mistake]
    objects = [make(number) for number in range(COUNT) for make in (settings, paused)]
    outcome, _calls = first_run(sandbox, [*objects, copy.deepcopy(odd)])
    assert not outcome.written
    assert [failure["name"] for failure in outcome.failures] == [odd["metadata"]["name"]]
    assert text in outcome.failures[0]["message"]


def test_an_object_of_another_release_is_known_before_the_first_write(sandbox):
    foreign = settings(7)
    foreign["metadata"]["labels"] = {"applyset.kubernetes.io/part-of": "applyset-other-v1"}
    sandbox.cluster.request("POST", sandbox.path("configmaps"), None, foreign)
    outcome, _calls = first_run(sandbox, [settings(number) for number in range(COUNT)])
    assert not outcome.written
    assert [failure["name"] for failure in outcome.failures] == ["settings-7"]


def test_what_a_policy_refuses_is_known_before_the_first_write(sandbox):
    group = "admissionregistration.k8s.io"
    name = f"{sandbox.name}-policy"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": sandbox.name}}}
    refused = {"expression": "!('NUMBER' in object.data) || object.data['NUMBER'] != '7'", "message": "no sevens"}
    policy = {"apiVersion": f"{group}/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
              "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules, **selector},
                       "validations": [refused]}}  # fmt: skip
    binding = {"apiVersion": f"{group}/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
               "spec": {"policyName": name, "validationActions": ["Deny"]}}  # fmt: skip
    root = f"/apis/{group}/v1/"
    try:
        sandbox.cluster.request("POST", f"{root}validatingadmissionpolicies", None, policy)
        sandbox.cluster.request("POST", f"{root}validatingadmissionpolicybindings", None, binding)
        enforced(sandbox, {**settings(7), "metadata": {"name": "probe"}})
        outcome, _calls = first_run(sandbox, [settings(number) for number in range(COUNT)])
    finally:
        sandbox.cluster.delete(f"{root}validatingadmissionpolicybindings/{name}")
        sandbox.cluster.delete(f"{root}validatingadmissionpolicies/{name}")
    assert not outcome.written
    assert [failure["name"] for failure in outcome.failures] == ["settings-7"]
    assert "no sevens" in outcome.failures[0]["message"]


def enforced(sandbox, manifest, seconds=30):
    """Wait until the API server refuses the object: it enforces a new policy after a moment."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        try:
            sandbox.cluster.request("POST", sandbox.path("configmaps"), {"dryRun": "All"}, manifest)
        except ApiError:
            return
        time.sleep(0.2)
    pytest.fail("the policy is not enforced")


def test_a_rule_of_a_custom_kind_is_asked_about_for_each_object(sandbox):
    group = f"{sandbox.name}.example"
    odd = [{"rule": "self.size != 7", "message": "no sevens"}]
    spec = {"type": "object", "x-kubernetes-validations": odd, "properties": {"size": {"type": "integer"}}}
    version = {"name": "v1", "served": True, "storage": True,
               "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}  # fmt: skip
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": f"widgets.{group}"},
           "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}}  # fmt: skip
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{group}"
    try:
        Release(
            connect({}), ReleaseParams("kinds", sandbox.name, objects=[crd], wait_timeout=30), lambda *_line: None
        ).present()
        widgets = [
            {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": f"w-{size}"}, "spec": {"size": size}}
            for size in range(COUNT)
        ]
        outcome, _calls = first_run(sandbox, widgets)
    finally:
        sandbox.cluster.delete(path)
    assert not outcome.written
    assert [failure["name"] for failure in outcome.failures] == ["w-7"]


def test_who_may_write_some_names_only_is_known_before_the_first_write(sandbox):
    subject = {"kind": "ServiceAccount", "name": "weak", "namespace": sandbox.name}
    allowed = [f"settings-{number}" for number in range(COUNT) if number != 7]
    every = ["get", "list", "watch", "create", "patch", "update", "delete"]
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"], "resourceNames": allowed},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": every},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": every},
    ]
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "weak"}}
    root = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{sandbox.name}"
    sandbox.cluster.request("POST", sandbox.path("serviceaccounts"), None, {"metadata": {"name": "weak"}})
    sandbox.cluster.request("POST", f"{root}/roles", None, {**rbac, "kind": "Role", "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "weak"}
    sandbox.cluster.request(
        "POST", f"{root}/rolebindings", None, {**rbac, "kind": "RoleBinding", "roleRef": role, "subjects": [subject]}
    )
    path = sandbox.path("serviceaccounts/weak/token")
    weak = connect({"api_key": sandbox.cluster.request("POST", path, None, {"spec": {}})["status"]["token"]})
    outcome, _calls = first_run(sandbox, [settings(number) for number in range(COUNT)], weak)
    assert not outcome.written
    assert [failure["name"] for failure in outcome.failures] == ["settings-7"]
