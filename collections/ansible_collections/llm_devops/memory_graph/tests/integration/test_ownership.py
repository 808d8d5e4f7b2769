# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Objects that others applied, defaults that nobody owns, and fields that cannot change."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import changed_lines, failure_text

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
HELM = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "web"}


def minimal():
    """Return objects with their required fields only, by plural, of kinds to which the API server adds defaults."""
    probes = {"livenessProbe": {"httpGet": {"port": 80}}, "readinessProbe": {"tcpSocket": {"port": 80}},
              "startupProbe": {"grpc": {"port": 80}}}  # fmt: skip
    container = {"name": "c", "image": "none.invalid/none:1", "ports": [{"containerPort": 80}], **probes}
    pod = {"nodeSelector": {"no": "such"}, "containers": [container],
           "volumes": [{"name": "a", "configMap": {"name": "x"}}, {"name": "b", "emptyDir": {}}]}  # fmt: skip
    template, once = {"metadata": {"labels": {"a": "b"}}, "spec": pod}, {"spec": {**pod, "restartPolicy": "Never"}}
    once["spec"]["containers"] = [{"name": "c", "image": "none.invalid/none:1"}]
    workload = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}
    specs = {
        ("v1", "Service", "services"): {"type": "NodePort", "ports": [{"port": 80}]},
        ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"): {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        ("apps/v1", "Deployment", "deployments"): workload,
        ("apps/v1", "StatefulSet", "statefulsets"): {**workload, "serviceName": "x"},
        ("apps/v1", "DaemonSet", "daemonsets"): workload,
        ("batch/v1", "Job", "jobs"): {"template": once},
        ("batch/v1", "CronJob", "cronjobs"): {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": once}}},
        ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"): {
            "maxReplicas": 3, "scaleTargetRef": target, "behavior": {"scaleDown": {}}},
        ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"): {"podSelector": {}},
    }  # fmt: skip
    return {plural: {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}
            for (version, kind, plural), spec in specs.items()}  # fmt: skip


def deployment(*env, **spec):
    names = [{"name": name, "value": "1"} for name in env]
    pod = {"containers": [{"name": "c", "image": "none.invalid/none:1", "env": names}]}
    template = {"metadata": {"labels": {"app": "old"}}, "spec": pod}
    whole = {"replicas": 0, "selector": {"matchLabels": {"app": "old"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "old"}, "spec": whole}


def post(sandbox, manifest, path, manager, **annotations):
    """Create an object as a tool without server-side apply does."""
    metadata = {**manifest["metadata"], "annotations": annotations}
    sandbox.cluster.request("POST", path, {"fieldManager": manager}, {**manifest, "metadata": metadata})


def make_namespace(sandbox):
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, sandbox.namespace)


def lines(outcome, kind):
    return [line for item in changed_lines(outcome) if item["kind"] == kind for line in item["lines"]]


def test_fields_of_several_managers_are_told_with_the_way_out(sandbox):
    sandbox.release(sandbox.config(one="1", two="2", three="3"))
    sandbox.edit("configmaps/settings", {"data": {"one": "x", "two": "x"}})
    sandbox.edit("configmaps/settings", {"data": {"three": "x"}}, manager="somebody")
    (failure,) = sandbox.release(sandbox.config(one="1", two="2", three="3")).failures
    assert failure["message"].endswith(": data.one, data.two by 'kubectl-edit'; data.three by 'somebody'")
    assert failure["way_out"].endswith("force_conflicts: true")


@pytest.mark.parametrize("force", [False, True])
def test_what_kubectl_applied_before_goes_with_its_manifest_and_is_shown(sandbox, force):
    make_namespace(sandbox)
    workloads = f"/apis/apps/v1/namespaces/{sandbox.name}/deployments"
    post(
        sandbox,
        sandbox.config(one="1", two="2"),
        sandbox.path("configmaps"),
        "kubectl-client-side-apply",
        **{LAST_APPLIED: "{}"},
    )
    post(sandbox, deployment("A", "LEGACY"), workloads, "kubectl-client-side-apply", **{LAST_APPLIED: "{}"})
    sandbox.edit("configmaps/settings", {"data": {"theirs": "3"}})
    objects = (sandbox.config(one="1"), deployment("A"))
    planned = sandbox.release(*objects, check=True, force_conflicts=force)
    outcome = sandbox.release(*objects, wait=False, force_conflicts=force)
    assert not outcome.failures
    for result in (planned, outcome):
        assert "data.two: 2 → absent" in lines(result, "ConfigMap")
        assert [line for line in lines(result, "Deployment") if "LEGACY" in line]
        assert not [line for line in lines(result, "Deployment") if "strategy" in line]
    assert sandbox.get("configmaps/settings")["data"] == {"one": "1", "theirs": "3"}
    live = sandbox.cluster.find(f"{workloads}/old")
    assert [item["name"] for item in live["spec"]["template"]["spec"]["containers"][0]["env"]] == ["A"]
    assert LAST_APPLIED not in (live["metadata"].get("annotations") or {})
    assert not sandbox.release(*objects, wait=False).differs


def test_what_kubectl_created_is_adopted_with_a_word_about_what_stays(sandbox):
    make_namespace(sandbox)
    post(sandbox, sandbox.config(one="1", two="2"), sandbox.path("configmaps"), "kubectl-create", mine="x")
    objects = sandbox.config(one="1")
    stays = "note ConfigMap/settings was there, and what the manifest leaves out of it stays: data.two, "
    stays += "metadata.annotations.mine of kubectl-create — take this into the manifest, or remove it with kubectl edit"
    sandbox.release(objects, check=True)
    assert [line for line in sandbox.progress_lines if line.startswith("note")] == [stays]
    assert not sandbox.release(objects).failures
    assert sandbox.progress_lines.count(stays) == 2
    assert not sandbox.release(objects).differs
    assert sandbox.progress_lines.count(stays) == 2
    assert sandbox.get("configmaps/settings")["data"] == {"one": "1", "two": "2"}


def test_defaults_of_what_kubectl_created_are_not_told(sandbox):
    make_namespace(sandbox)
    objects = minimal()
    for plural, manifest in objects.items():
        version = manifest["apiVersion"]
        root = f"/apis/{version}/namespaces/{sandbox.name}/" if "/" in version else sandbox.path("")
        post(sandbox, manifest, f"{root}{plural}", "kubectl-create")
    planned = sandbox.release(*objects.values(), check=True)
    assert not planned.failures
    assert [line for line in sandbox.progress_lines if line.startswith("note")] == []


def test_a_helm_release_s_object_is_taken_over_by_force_only(sandbox):
    make_namespace(sandbox)
    post(sandbox, sandbox.config(one="1", two="2"), sandbox.path("configmaps"), "helm", **HELM)
    text = failure_text(sandbox.release(sandbox.config(one="1")))
    assert "ConfigMap/settings" in text
    assert "belongs to release 'shop' in web of Helm" in text
    assert text.endswith("Nothing was written.")
    assert not sandbox.release(sandbox.config(one="1"), force_conflicts=True).failures
    live = sandbox.get("configmaps/settings")
    assert live["data"] == {"one": "1"}
    assert "annotations" not in live["metadata"]


def test_a_default_that_the_new_value_forbids_goes_and_comes_back(sandbox):
    recreate = deployment(strategy={"type": "Recreate"})
    sandbox.release(deployment(), wait=False)
    planned = sandbox.release(recreate, check=True)
    assert not planned.failures
    assert "spec.strategy.type: RollingUpdate → Recreate" in lines(planned, "Deployment")
    outcome = sandbox.release(recreate, wait=False)
    assert not outcome.failures
    path = f"/apis/apps/v1/namespaces/{sandbox.name}/deployments/old"
    assert sandbox.cluster.find(path)["spec"]["strategy"] == {"type": "Recreate"}
    assert not sandbox.release(recreate, wait=False).differs
    assert not sandbox.release(deployment(), wait=False).failures
    assert sandbox.cluster.find(path)["spec"]["strategy"]["type"] == "RollingUpdate"


def test_another_s_unchangeable_object_is_told_in_one_sentence(sandbox):
    def job(command):
        pod = {
            "restartPolicy": "Never",
            "containers": [{"name": "m", "image": "none.invalid/none:1", "command": [command]}],
        }
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"},
                "spec": {"suspend": True, "template": {"spec": pod}}}  # fmt: skip

    sandbox.release(job("a"), wait=False)
    theirs = Release(connect({}), ReleaseParams("other", sandbox.name, [job("b")]), lambda *_line: None).present()
    assert "Job/migrate in" in failure_text(theirs)
    assert "belongs to another release, 'demo' (" in failure_text(theirs)
    ours = sandbox.release(job("b"), wait=False)
    sentence = r"Job/migrate exists, and its spec\.template(\.spec)? cannot change"  # from 1.37 on it names the part
    assert re.search(sentence, failure_text(ours))
    assert max(len(failure["message"]) for failure in [*theirs.failures, *ours.failures]) < 300


def test_an_aggregated_role_is_left_to_its_controller(sandbox):
    name = sandbox.name
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    view = {**rbac, "metadata": {"name": f"{name}-view"}, "rules": [{**rule, "resources": ["secrets"]}],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {f"{name}/to": "view"}}]}}  # fmt: skip
    part = {**rbac, "metadata": {"name": f"{name}-part", "labels": {f"{name}/to": "view"}}, "rules": [rule]}
    try:
        sandbox.release(view, part)
        assert f"note ClusterRole/{name}-view: its rules are not sent" in "\n".join(sandbox.progress_lines)
        for force in (False, True):
            again = sandbox.release(view, part, force_conflicts=force)
            assert not again.failures
            assert not again.differs
    finally:
        for item in (view, part):
            sandbox.cluster.delete(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{item['metadata']['name']}")


def test_check_mode_and_the_run_agree_on_what_is_empty(sandbox):
    odd = [{**sandbox.config(f"n{index}"), "metadata": {"name": f"n{index}", **more}}
           for index, more in enumerate([{"namespace": ""}, {"namespace": None}, {"labels": {"a": None}},
                                         {"annotations": None, "labels": None}])]  # fmt: skip
    assert not sandbox.release(*odd, check=True).failures
    outcome = sandbox.release(*odd)
    assert not outcome.failures
    assert not sandbox.release(*odd).differs
    assert "a" not in sandbox.get("configmaps/n2")["metadata"]["labels"]


def test_a_webhook_s_words_show_no_value_of_a_secret(sandbox):
    """A policy quotes the value that it refuses, as webhooks do."""
    name = f"{sandbox.name}.example.dev"
    group = "/apis/admissionregistration.k8s.io/v1"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}]
    selector = {"matchLabels": {"kubernetes.io/metadata.name": sandbox.name}}
    quoting = {"expression": "!has(object.data) || !('pin' in object.data)",
               "messageExpression": "'weak pin ' + string(object.data.pin)"}  # fmt: skip
    policy = {"metadata": {"name": name}, "spec": {"validations": [quoting], "matchConstraints": {
        "resourceRules": rules, "namespaceSelector": selector}}}  # fmt: skip
    make_namespace(sandbox)
    sandbox.cluster.request("POST", f"{group}/validatingadmissionpolicies", None, policy)
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    sandbox.cluster.request("POST", f"{group}/validatingadmissionpolicybindings", None, binding)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"pin": "hunter2"}}
    try:
        outcome = sandbox.release(secret)
        for _again in range(50):  # policies take a moment to be in force
            if outcome.failures:
                break
            sandbox.remove("secrets/s")
            outcome = sandbox.release(secret)
        text = json.dumps([outcome.failures, failure_text(outcome), sandbox.progress_lines, outcome.report])
        assert "weak pin" in text
        assert "hunter2" not in text
        assert "aHVudGVyM" not in text
    finally:
        for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            sandbox.cluster.delete(f"{group}/{plural}/{name}")
