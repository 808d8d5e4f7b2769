# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The release engine against the real API server of KUBECONFIG: what it creates, changes, prunes and refuses."""

from __future__ import annotations

import json
import socket

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import (
    changed_lines,
    entries,
    failure_text,
)
from ansible_collections.llm_devops.memory_graph.tests.integration.sandbox import workload

SECRET = "correct-horse-battery-staple"


def secret(value=SECRET):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"API_KEY": value}}


def claim(name="data"):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def actions(outcome):
    return {str(step.ref): step.action for step in outcome.steps}


def test_create_then_unchanged_then_changed(sandbox):
    objects = [sandbox.config(), secret(), workload(resources={"requests": {"cpu": "1000m", "memory": "1024Mi"}})]
    objects[2]["spec"]["replicas"] = 0
    first = sandbox.release(*objects)
    assert not first.failures
    assert set(actions(first).values()) == {"created"}
    assert first.record.revision == 1
    second = sandbox.release(*objects)
    assert set(actions(second).values()) == {"unchanged"}
    assert not second.differs
    assert not second.written
    assert second.record.revision == 1
    third = sandbox.release(sandbox.config(LOG_LEVEL="debug"), *objects[1:])
    assert {name for name, action in actions(third).items() if action == "configured"} == {"ConfigMap/settings"}
    assert changed_lines(third)[0] == {
        "kind": "ConfigMap",
        "api_version": "v1",
        "namespace": sandbox.name,
        "name": "settings",
        "action": "configured",
        "note": "",
        "fields": [{"path": "data.LOG_LEVEL", "before": "info", "after": "debug"}],
        "lines": ["data.LOG_LEVEL: info → debug"],
    }
    assert third.record.revision == 2
    assert third.record.state == "deployed"


def autoscaler():
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "demo"},
        "minReplicas": 1,
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization",
                                                                                "averageUtilization": 70}}}],
    }  # fmt: skip
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "demo"},
        "spec": spec,
    }


def test_replicas_belong_to_the_autoscaler(sandbox):
    objects = [workload(image="node.invalid/none:1", resources={"requests": {"cpu": "1m"}}), autoscaler()]
    objects[0]["spec"].update(replicas=1, paused=True)
    sandbox.release(*objects, wait=False)
    scale = {"spec": {"replicas": 3}}
    sandbox.cluster.request(
        "PATCH", f"/apis/apps/v1/namespaces/{sandbox.name}/deployments/demo/scale",
        {"fieldManager": "kube-controller-manager"}, scale, "application/merge-patch+json",
    )  # fmt: skip
    again = sandbox.release(*objects, wait=False)
    assert not again.failures
    assert not again.differs
    objects[0]["spec"]["minReadySeconds"] = 3
    changed = sandbox.release(*objects, wait=False)
    assert changed_lines(changed)[0]["lines"] == ["spec.minReadySeconds: absent → 3"]
    assert sandbox.cluster.find(f"/apis/apps/v1/namespaces/{sandbox.name}/deployments/demo")["spec"]["replicas"] == 3


def test_an_edit_by_hand_is_seen_although_the_manifest_is_the_same(sandbox):
    sandbox.release(sandbox.config(), sandbox.config("other"))
    assert not sandbox.release(sandbox.config(), sandbox.config("other")).differs
    sandbox.edit("configmaps/settings", {"data": {"LOG_LEVEL": "warn"}}, manager="someone")
    outcome = sandbox.release(sandbox.config(), sandbox.config("other"), force_conflicts=True)
    assert changed_lines(outcome)[0]["lines"] == ["data.LOG_LEVEL: warn → info"]
    assert actions(outcome)["ConfigMap/other"] == "unchanged"


def test_an_unchanged_release_costs_no_call_per_object(sandbox):
    objects = [sandbox.config(f"settings-{number}") for number in range(40)]
    sandbox.release(*objects)
    run = sandbox.run(*objects)
    assert not run.present().differs
    assert run.cluster.api_calls < len(objects)


def test_check_before_the_namespace_exists_says_what_it_could_not_validate(sandbox):
    """Admission completes Pods by the namespace they are in, so no other namespace can validate them."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "x"}]}}
    outcome = sandbox.release(sandbox.config(), pod, check=True)
    assert set(actions(outcome).values()) == {"created"}
    assert [step.remark for step in outcome.steps[1:]] == [
        "",
        f"not validated: namespace {sandbox.name} does not exist yet",
    ]
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_check_writes_nothing(sandbox):
    sandbox.release(sandbox.config())
    outcome = sandbox.release(sandbox.config(LOG_LEVEL="debug"), sandbox.config("other"), check=True)
    assert outcome.differs
    assert sandbox.get("configmaps/settings")["data"] == {"LOG_LEVEL": "info"}
    assert sandbox.get("configmaps/other") is None


def test_prune_deletes_what_left_and_keeps_data_and_foreign_objects(sandbox):
    sandbox.release(sandbox.config(), sandbox.config("old"), sandbox.config("given-away"), claim())
    patch = {"metadata": {"labels": {"applyset.kubernetes.io/part-of": None}}}
    sandbox.edit("configmaps/given-away", patch, manager="someone")
    outcome = sandbox.release(sandbox.config())
    assert {str(candidate.member.ref): candidate.action for candidate in outcome.prune_candidates} == {
        "ConfigMap/old": "pruned",
        "ConfigMap/given-away": "foreign",
        "PersistentVolumeClaim/data": "kept",
    }
    assert sandbox.get("configmaps/old") is None
    assert sandbox.get("configmaps/given-away")
    assert sandbox.get("persistentvolumeclaims/data")


def absent(sandbox, **params):
    outcome = sandbox.run(**params).absent()
    assert not outcome.failures
    return outcome


def test_absent_keeps_data_and_knows_it_when_told_to_delete_it(sandbox):
    sandbox.release(sandbox.config(), secret(), claim())
    absent(sandbox)
    assert sandbox.get("configmaps/settings") is None
    assert sandbox.get("persistentvolumeclaims/data")
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}")["status"]["phase"] == "Active"
    again = absent(sandbox)
    assert not again.differs
    assert {str(candidate.member.ref): candidate.action for candidate in again.prune_candidates} == {
        f"Namespace/{sandbox.name}": "kept",
        "PersistentVolumeClaim/data": "kept",
    }
    absent(sandbox, delete_data=True)
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_absent_deletes_the_record_with_the_last_member(sandbox):
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, sandbox.namespace)
    sandbox.release(objects=[sandbox.config(), claim()])
    absent(sandbox)
    assert sandbox.get("secrets/demo-release")
    absent(sandbox, delete_data=True)
    assert sandbox.get("persistentvolumeclaims/data") is None
    assert sandbox.get("secrets/demo-release") is None


def test_what_was_kept_is_adopted_by_the_next_release(sandbox):
    sandbox.release(sandbox.config(), claim())
    uid = sandbox.get("persistentvolumeclaims/data")["metadata"]["uid"]
    absent(sandbox)
    outcome = sandbox.release(sandbox.config(), claim())
    assert actions(outcome) == {
        f"Namespace/{sandbox.name}": "unchanged",
        "ConfigMap/settings": "created",
        "PersistentVolumeClaim/data": "unchanged",
    }
    assert (outcome.record.revision, outcome.record.state) == (2, "deployed")
    assert [past["state"] for past in outcome.record.history] == ["uninstalled"]
    assert sandbox.get("persistentvolumeclaims/data")["metadata"]["uid"] == uid


def test_a_conflict_names_the_manager_and_is_taken_over_by_force_only(sandbox):
    sandbox.release(sandbox.config())
    patch = {"data": {"LOG_LEVEL": "warn"}}
    sandbox.edit("configmaps/settings", patch, manager="someone")
    refused = sandbox.release(sandbox.config())
    assert "data.LOG_LEVEL by 'someone'" in failure_text(refused)
    assert "force_conflicts: true" in failure_text(refused)
    assert sandbox.get("configmaps/settings")["data"] == {"LOG_LEVEL": "warn"}
    assert not sandbox.release(sandbox.config(), force_conflicts=True).failures
    assert sandbox.get("configmaps/settings")["data"] == {"LOG_LEVEL": "info"}


def test_what_the_server_refuses_is_known_before_anything_is_written(sandbox):
    sandbox.release(sandbox.config())
    outcome = sandbox.release(sandbox.config("fine"), {**sandbox.config("broken"), "immutable": "maybe"})
    assert "ConfigMap/broken" in failure_text(outcome)
    assert "Nothing was written." in failure_text(outcome)
    assert sandbox.get("configmaps/fine") is None


def test_a_secret_never_shows(sandbox):
    first = sandbox.release(secret())
    changed = sandbox.release(secret(SECRET + "!"))
    text = json.dumps([entries(first), entries(changed), changed_lines(changed)])
    assert SECRET not in text
    assert "Y29ycmVjdC1ob3JzZS" not in text
    assert changed_lines(changed)[0]["lines"][0].startswith("data.API_KEY: changed (keyed hash ")


def test_forbidden_names_who_may_not_do_what(sandbox):
    sandbox.release(sandbox.config())
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "weak"}}
    sandbox.cluster.request("POST", sandbox.path("serviceaccounts"), None, account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = sandbox.path("serviceaccounts/weak/token")
    token = sandbox.cluster.request("POST", path, None, request)["status"]["token"]
    with pytest.raises(ClusterError) as error:
        sandbox.release(sandbox.config(), cluster=connect({"api_key": token}))
    assert f"system:serviceaccount:{sandbox.name}:weak may not" in str(error.value)
    assert "kubectl auth can-i" in error.value.way_out


def test_a_wrong_token_is_said(sandbox):
    with pytest.raises(ClusterError, match="does not accept the credentials"):
        sandbox.release(sandbox.config(), cluster=connect({"api_key": "nonsense"}))


def test_unreachable_names_the_address(sandbox):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"https://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"cannot reach the Kubernetes API at {host}: connection refused"):
            sandbox.release(sandbox.config(), cluster=connect({"host": host}))


def test_an_unknown_authority_is_said(sandbox, tmp_path):
    other = tmp_path / "ca.pem"
    other.write_text("")
    options = {"host": sandbox.cluster.access.server, "ca_cert": str(other)}
    with pytest.raises(ClusterError, match="a certificate we cannot verify"):
        sandbox.release(sandbox.config(), cluster=connect(options))


def test_a_terminating_namespace_is_seen_before_anything_is_written(sandbox):
    sandbox.release(sandbox.config())
    hold = {"metadata": {"finalizers": ["example.dev/hold"]}}
    sandbox.edit("configmaps/settings", hold, manager="someone")
    sandbox.cluster.delete(f"/api/v1/namespaces/{sandbox.name}")
    try:
        with pytest.raises(ClusterError, match=f"namespace {sandbox.name} is being deleted since"):
            sandbox.release(sandbox.config())
    finally:
        sandbox.edit("configmaps/settings", {"metadata": {"finalizers": None}}, manager="someone")


def test_another_release_s_object_is_left_alone(sandbox):
    sandbox.release(sandbox.config())
    params = ReleaseParams("other", sandbox.name, [sandbox.config()])
    other = Release(connect({}), params, lambda *_line: None).present()
    assert "belongs to another release" in failure_text(other)
