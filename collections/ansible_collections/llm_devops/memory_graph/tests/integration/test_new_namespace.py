# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Objects of a namespace that a release makes itself: what is wrong with them is known before it is made."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, ManifestError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import _quantity
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._new_namespace import STAND_IN

SELECTOR = {"matchLabels": {"app": "demo"}}


def workload(name="demo", *, container=None, **spec):
    main = {"name": "main", "image": "x:1", **(container or {})}
    template = {"metadata": {"labels": {"app": "demo"}}, "spec": {"containers": [main]}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 0, "selector": SELECTOR, "template": template, **spec}}  # fmt: skip


def service(**port):
    spec = {"selector": SELECTOR["matchLabels"], "ports": [{"port": 80, **port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo"}, "spec": spec}


def claim(**spec):
    requests = {"resources": {"requests": {"storage": "1Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": requests | spec}


def secret(**content):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password"}, **content}


WRONG = {
    "an unknown field": (workload(container={"imagee": "x"}), "imagee"),
    "a wrong type": (workload(container={"ports": "none"}), "ports"),
    "no word of an enumeration": (workload(container={"imagePullPolicy": "Sometimes"}), "Sometimes"),
    "a mount of no volume": (workload(container={"volumeMounts": [{"name": "x", "mountPath": "/x"}]}), "volumeMounts"),
    "a selector of other pods": (workload(selector={"matchLabels": {"app": "other"}}), "selector"),
    "a port out of range": (service(port=70000), "70000"),
    "a type of Service there is not": ({**service(), "spec": {"type": "Public", "ports": [{"port": 80}]}}, "Public"),
    "an access mode there is not": (claim(accessModes=["ReadSometimes"]), "ReadSometimes"),
    "a name with capitals": (workload("Demo"), "Demo"),
    "a Secret without what its type wants": (secret(type="kubernetes.io/tls", data={"tls.crt": "eA=="}), "tls.key"),
    "a Secret that is too large": (secret(data={"x": "eHh4" * 400_000}), "Too long"),
    "a label that is none": ({**service(), "metadata": {"name": "x", "labels": {"app": "no label"}}}, "no label"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_is_wrong_is_told_and_leaves_no_namespace(sandbox, mistake):
    broken, sentence = WRONG[mistake]
    outcome = sandbox.release(sandbox.config(), broken, wait=False)
    assert [failure["name"] for failure in outcome.failures] == [broken["metadata"]["name"]]
    assert sentence in outcome.failures[0]["message"]
    assert outcome.status.startswith("Nothing was written")
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_everything_wrong_is_told_at_once_of_equivalent_objects_too(sandbox):
    broken = [workload(f"odd-{number}", container={"imagePullPolicy": "Sometimes"}) for number in range(20)]
    outcome = sandbox.release(*broken, wait=False)
    assert len(outcome.failures) == len(broken)
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_what_is_no_quantity_leaves_no_namespace(sandbox):
    with pytest.raises(ManifestError, match=r"requests\.storage is 'lots', which is no quantity"):
        sandbox.release(claim(resources={"requests": {"storage": "lots"}}))
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_equivalent_objects_are_asked_about_once_and_then_released(sandbox):
    objects = [sandbox.config(f"settings-{number}", NUMBER=str(number)) for number in range(40)]
    checked = sandbox.run(*objects, check=True)
    assert not checked.present().failures
    assert checked.cluster.api_calls < len(objects)
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None
    assert sandbox.release(*objects).count("created") == len(objects) + 1
    assert not sandbox.release(*objects).differs
    assert sandbox.get("configmaps/settings-39")["data"] == {"NUMBER": "39"}


def test_what_the_other_namespace_has_or_forbids_is_no_fault(sandbox):
    """The other namespace has an object of the same name with another selector, and an exhausted quota."""
    name, quota = f"{sandbox.name}-there", f"{sandbox.name}-full"
    deployments, core = (
        f"/apis/apps/v1/namespaces/{STAND_IN}/deployments",
        f"/api/v1/namespaces/{STAND_IN}/resourcequotas",
    )
    other = workload(name)
    other["spec"]["selector"] = {"matchLabels": {"app": "there"}}
    other["spec"]["template"]["metadata"]["labels"] = {"app": "there"}
    sandbox.cluster.request("POST", deployments, None, other)
    hard = {"hard": {"count/services": "0"}}
    sandbox.cluster.request("POST", core, None, {"metadata": {"name": quota}, "spec": hard})
    try:
        outcome = sandbox.release(workload(name), service(), wait=False)
    finally:
        sandbox.cluster.delete(f"{deployments}/{name}")
        sandbox.cluster.delete(f"{core}/{quota}")
    assert outcome.failures == []
    assert sandbox.get("services/demo")


def test_credentials_of_a_registry_are_taken(sandbox):
    logins = {".dockerconfigjson": '{"auths": {}}'}
    outcome = sandbox.release(secret(type="kubernetes.io/dockerconfigjson", stringData=logins))
    assert outcome.failures == []


def test_a_kind_that_a_policy_looks_at_is_not_asked_about(sandbox):
    group = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "true"}]}
    sandbox.cluster.request("POST", group, None, {"metadata": {"name": f"{sandbox.name}-policy"}, "spec": spec})
    try:
        outcome = sandbox.release(sandbox.config(), service(), check=True)
    finally:
        sandbox.cluster.delete(f"{group}/{sandbox.name}-policy")
    notes = {str(step.ref): step.remark for step in outcome.steps}
    assert notes["ConfigMap/settings"] == f"not validated: namespace {sandbox.name} does not exist yet"
    assert notes["Service/demo"] == ""


QUANTITIES = [
    *(f"1{suffix}" for suffix in ["", *"numkMGTPE", *(f"{prefix}i" for prefix in "KMGTPE")]),
    "0", "+1", "-1", "1.5", "1.", ".5", "1.Gi", "00.10", "0.5Gi", "1e3", "1E3", "1e-3", "1E+3", "-1Ki", " 1Gi ",
    "1e9999", "9" * 40, 1, 0, -1, 0.5, 1e-07, 1e22, 10**30,
    "lots", "", " ", "10 Gi", "10GB", "10K", "10gi", "10Gib", "1OOm", "1.2.3", "--1", "1e", "1e3Mi", "1ki", "1mi",
    "1,5", "0x10", "1_000", "NaN", "Infinity", "1Gi\n2Gi", "1e1.5", True, [], {},
]  # fmt: skip


@pytest.mark.parametrize("value", QUANTITIES, ids=repr)
def test_a_quantity_is_what_the_api_server_takes_for_one(sandbox, value):
    """They differ only in a sign, a point or a unit alone, which the API server reads as 0."""
    limits = [{"type": "Container", "max": {"cpu": value}}]
    manifest = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": sandbox.name},
        "spec": {"limits": limits},
    }
    try:
        sandbox.cluster.apply(f"/api/v1/namespaces/{STAND_IN}/limitranges/{sandbox.name}", manifest, dry_run=True)
        sentence = ""
    except ApiError as error:
        sentence = str(error)
    assert bool(_quantity.invalid_reason(value)) == bool(sentence), sentence
