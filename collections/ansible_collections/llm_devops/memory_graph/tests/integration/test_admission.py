# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight's dry-run Pods on a real API server: what it refuses is a problem, before anything is written."""

from __future__ import annotations

import contextlib
import copy
import os
import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import _check_admission
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._permissions import RBAC
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._preflight import Preflight

RBAC_TIMEOUT_S = 20
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


def workload(kind="Deployment", replicas=1, pod=None, **container):
    labels = {"app": "demo"}
    spec = {"containers": [{"name": "main", "image": "nowhere.invalid/none:1", **container}], **(pod or {})}
    manifest = {"replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec}}  # fmt: skip
    if kind == "StatefulSet":
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
        manifest |= {"serviceName": "demo", "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}]}
        spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "demo"}, "spec": manifest}


def created(kind, name, api_version="v1", **more):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **more}


def labelled(sandbox, level):
    namespace = copy.deepcopy(sandbox.namespace)
    namespace["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": level} if level else {}
    return namespace


@pytest.fixture
def home(sandbox):
    """Return a function that makes the namespace and waits for the ServiceAccount that a controller adds to it."""

    def make(level="", *objects):
        sandbox.cluster.request("POST", "/api/v1/namespaces", None, labelled(sandbox, level))
        for item in objects:
            sandbox.cluster.request("POST", sandbox.path(f"{item['kind'].lower()}s"), None, item)
        while not sandbox.get("serviceaccounts/default"):
            time.sleep(0.05)
        return sandbox

    return make


def preflight(sandbox, *objects, cluster=None):
    manifests = prepared([sandbox.namespace, *objects], "demo", sandbox.name)
    result = Preflight(cluster or sandbox.cluster, sandbox.name, manifests, "demo")
    result.run()
    return result


def messages(findings, check="admission"):
    return [item["message"] for item in findings if item["check"] == check]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_pods_that_are_admitted_leave_nothing(home, kind):
    sandbox = home()
    result = preflight(sandbox, workload(kind))
    assert (messages(result.problems), messages(result.notes)) == ([], [])
    assert "admission" in [item["check"] for item in result.passed]
    assert sandbox.names("pods") == []


def test_a_restricted_namespace_refuses_a_privileged_container(home):
    sandbox = home("restricted")
    result = preflight(sandbox, workload(securityContext={"privileged": True}))
    (problem,) = messages(result.problems)
    assert problem.startswith("Deployment/demo does not meet the namespace's level restricted: privileged ")
    assert 'container "main" must not set securityContext.privileged=true' in problem


def test_the_level_that_the_release_gives_its_namespace_counts(home):
    sandbox = home("restricted")
    manifests = prepared([labelled(sandbox, "privileged"), workload()], "demo", sandbox.name)
    result = Preflight(sandbox.cluster, sandbox.name, manifests, "demo")
    result.run()
    assert messages(result.problems) == []
    manifests = prepared([labelled(sandbox, "baseline"), workload(pod={"hostPID": True})], "demo", sandbox.name)
    result = Preflight(sandbox.cluster, sandbox.name, manifests, "demo")
    result.run()
    assert messages(result.problems) == ["Deployment/demo does not meet the namespace's level baseline: hostPID: false"]


def test_a_limit_range_refuses_and_pod_security_too(home):
    limits = [{"type": "Container", "max": {"memory": "64Mi"}}]
    sandbox = home("restricted", created("LimitRange", "usual", spec={"limits": limits}))
    first, second = messages(preflight(sandbox, workload(resources={"limits": {"memory": "1Gi"}})).problems)
    assert first == (
        f"a LimitRange of namespace {sandbox.name} refuses the pods of Deployment/demo: maximum memory usage per"
        " Container is 64Mi, but limit is 1Gi"
    )
    assert "level restricted" in second


def test_what_a_pod_refers_to_exists_or_comes_with_the_release(home):
    sandbox = home()
    pod = {"serviceAccountName": "runner", "priorityClassName": f"{sandbox.name}-high"}
    assert messages(preflight(sandbox, workload(pod=pod)).problems) == [
        f"Deployment/demo needs ServiceAccount 'runner' in {sandbox.name}, which does not exist",
        f"Deployment/demo needs PriorityClass '{sandbox.name}-high', which does not exist",
    ]
    priority = created("PriorityClass", f"{sandbox.name}-high", "scheduling.k8s.io/v1", value=1000)
    result = preflight(sandbox, workload(pod=pod), created("ServiceAccount", "runner"), priority)
    assert (messages(result.problems), messages(result.notes)) == ([], [])
    sandbox.cluster.request("POST", sandbox.path("serviceaccounts"), None, created("ServiceAccount", "runner"))
    pod["priorityClassName"] = "system-cluster-critical"
    result = preflight(sandbox, workload(pod=pod))
    assert (result.problems, messages(result.notes, "references")) == ([], [])


def test_a_new_namespace_is_judged_by_its_own_label(sandbox):
    manifests = prepared([labelled(sandbox, "restricted"), workload(pod={"serviceAccountName": "nobody"})], "demo",
                         sandbox.name)  # fmt: skip
    result = Preflight(sandbox.cluster, sandbox.name, manifests, "demo")
    result.run()
    (problem,) = messages(result.problems)
    assert problem.startswith("Deployment/demo does not meet the namespace's level restricted: runAsNonRoot: true, ")
    assert messages(result.problems, "references") == [
        f"Deployment/demo needs ServiceAccount 'nobody' in {sandbox.name}, which does not exist"
    ]
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_a_template_that_is_invalid(home):
    result = preflight(home(), workload(volumeMounts=[{"name": "gone", "mountPath": "/x"}]))
    field = "spec.containers[0].volumeMounts[0].name"
    assert messages(result.problems) == [f'the pod template of Deployment/demo is invalid: {field}: Not found: "gone"']


def test_a_used_up_quota_is_no_finding_of_a_rolling_update(home):
    """The dry run is refused because the quota still counts the pods that are replaced."""
    quota = created("ResourceQuota", "team", spec={"hard": {"pods": "1", "limits.memory": "64Mi"}})
    sandbox = home("", quota)
    limits = {"limits": {"memory": "64Mi"}}
    sandbox.release(workload(resources=limits), wait=False)
    limit = time.monotonic() + 30
    while not sandbox.names("pods"):
        assert time.monotonic() < limit
        time.sleep(0.1)
    pod = {"metadata": {"name": "x"}, "spec": workload(resources=limits)["spec"]["template"]["spec"]}
    with pytest.raises(ApiError, match="exceeded quota"):
        sandbox.cluster.request("POST", sandbox.path("pods"), {"dryRun": "All"}, pod)
    changed = workload(resources=limits, env=[{"name": "A", "value": "B"}])
    result = preflight(sandbox, changed)
    assert (result.problems, messages(result.notes)) == ([], [])
    assert "a rolling update needs" in messages(result.notes, "quota")[0]


def test_a_quota_that_wants_limits_says_of_which_container(home):
    sandbox = home("", created("ResourceQuota", "team", spec={"hard": {"limits.memory": "1Gi"}}))
    assert messages(preflight(sandbox, workload()).problems) == [
        "Deployment/demo must say limits.memory for: main, or ResourceQuota 'team' refuses its pods"
    ]


@pytest.fixture
def policy(sandbox):
    """A policy that refuses pods without the label team in the namespace."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    validation = {"expression": "has(object.metadata.labels) && 'team' in object.metadata.labels",
                  "message": "pods need the label team"}  # fmt: skip
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": sandbox.name}}}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
    binding = {"policyName": sandbox.name, "validationActions": ["Deny"], "matchResources": where}
    for plural, kind, content in (
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", spec),
        ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", binding),
    ):
        manifest = created(kind, sandbox.name, "admissionregistration.k8s.io/v1", spec=content)
        sandbox.cluster.request("POST", f"{ADMISSION}/{plural}", None, manifest)
    yield
    for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        sandbox.cluster.delete(f"{ADMISSION}/{plural}/{sandbox.name}")


def test_a_policy_s_refusal_is_a_note_as_it_may_spare_pods_of_controllers(home, policy):
    sandbox, limit = home(), time.monotonic() + 30
    notes = []
    while not notes and time.monotonic() < limit:  # the API server hears of a policy after a while
        result = preflight(sandbox, workload())
        notes = messages(result.notes)
    assert "controller's pods may be: ValidatingAdmissionPolicy" in notes[0]
    assert "pods need the label team" in notes[0]
    assert result.problems == []


def deployer(sandbox, *names, verbs=("create", "patch")):
    """Return a connection whose ServiceAccount may read the whole namespace and create pods of these names only."""
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
    if names:
        rules.append({"apiGroups": [""], "resources": ["pods"], "resourceNames": list(names), "verbs": list(verbs)})
    with contextlib.suppress(ApiError):
        sandbox.cluster.request("POST", sandbox.path("serviceaccounts"), None, created("ServiceAccount", "deployer"))
    api, root = f"{RBAC}/v1", f"/apis/{RBAC}/v1/namespaces/{sandbox.name}"
    subject = {"kind": "ServiceAccount", "name": "deployer", "namespace": sandbox.name}
    for manifest in (
        created("Role", "deployer", api, rules=rules),
        created("RoleBinding", "deployer", api, subjects=[subject],
                roleRef={"apiGroup": RBAC, "kind": "Role", "name": "deployer"}),
    ):  # fmt: skip
        sandbox.cluster.request("POST", f"{root}/{manifest['kind'].lower()}s", None, manifest)
    token = sandbox.cluster.request("POST", sandbox.path("serviceaccounts/deployer/token"), None, {"spec": {}})
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"] = [{**user, "user": {"token": token["status"]["token"]}} for user in config["users"]]
    return connect({"kubeconfig": config})


def admission_of(sandbox, cluster, *objects):
    """Run the check of admission alone, once the authoriser knows the Role."""
    limit = time.monotonic() + RBAC_TIMEOUT_S
    while True:
        manifests = prepared([*objects], "demo", sandbox.name)
        context = _check_admission.PreflightContext(cluster, "demo", sandbox.name, manifests, Discovery(cluster))
        context.check = "admission"
        with contextlib.suppress(ApiError):
            if cluster.find(sandbox.path("serviceaccounts/deployer")):
                _check_admission.admission(context)
                return context
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_a_deployer_needs_no_other_pod_than_the_one_that_is_asked_about(home):
    sandbox = home("baseline")
    context = admission_of(sandbox, deployer(sandbox, "demo-preflight"), workload(pod={"hostNetwork": True}))
    assert "host namespaces (hostNetwork=true)" in messages(context.problems)[0]
    assert context.notes == []


def test_without_the_right_to_create_pods_that_is_a_note(home):
    sandbox = home("baseline")
    context = admission_of(sandbox, deployer(sandbox), workload(pod={"hostNetwork": True}))
    sentence = "whether the pods of Deployment/demo are admitted was not asked: you may not patch pods in namespace"
    assert messages(context.notes)[0] == f"{sentence} {sandbox.name}"
    assert context.not_asked == {"Deployment/demo"}
    assert sandbox.get("pods/demo-preflight") is None
