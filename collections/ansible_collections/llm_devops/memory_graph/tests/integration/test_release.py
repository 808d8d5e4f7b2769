# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The release engine against the real API server of KUBECONFIG. Each test has its own namespace and removes it."""

from __future__ import annotations

import json
import os
import socket
import uuid

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._preflight import Preflight
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import (
    changed_lines,
    entries,
    failure_text,
)

SECRET = "correct-horse-battery-staple"


def silent(_label, _text):
    """Progress nobody looks at."""


class Place:
    """A namespace of its own and the means to release into it."""

    def __init__(self):
        self.name = f"release-test-{uuid.uuid4().hex[:8]}"
        self.cluster = connect({})

    @property
    def namespace(self):
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}

    def params(self, *objects, **options):
        return ReleaseParams("demo", self.name, [self.namespace, *objects], **{"wait_timeout": 120, **options})

    def release(self, *objects, options=None, **params):
        return Release(connect(options or {}), self.params(*objects, **params), silent).present()

    def get(self, path):
        return self.cluster.find(f"/api/v1/namespaces/{self.name}/{path}")

    def act(self, method, path, body, content_type="application/json"):
        return self.cluster.request(
            method, f"/api/v1/namespaces/{self.name}/{path}", {"fieldManager": "someone"}, body, content_type
        )


@pytest.fixture
def sandbox():
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("set KUBECONFIG to a cluster the tests may use")
    new_sandbox = Place()
    yield new_sandbox
    new_sandbox.cluster.delete(f"/api/v1/namespaces/{new_sandbox.name}")


def config(name="settings", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"LOG_LEVEL": "info"}}


def secret(value=SECRET):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"API_KEY": value}}


def workload(kind="Deployment", image="nowhere.invalid/none:1", **container):
    labels = {"app": "demo"}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": image, **container}]}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if kind == "StatefulSet":
        spec["serviceName"] = "demo"
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "demo"}, "spec": spec}


def actions(outcome):
    return {str(step.ref): step.action for step in outcome.steps}


def test_create_then_unchanged_then_changed(sandbox):
    objects = [config(), secret(), workload(resources={"requests": {"cpu": "1000m", "memory": "1024Mi"}})]
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
    third = sandbox.release(config(LOG_LEVEL="debug"), *objects[1:])
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
    sandbox.release(config(), config("other"))
    assert not sandbox.release(config(), config("other")).differs
    sandbox.act("PATCH", "configmaps/settings", {"data": {"LOG_LEVEL": "warn"}}, "application/merge-patch+json")
    outcome = sandbox.release(config(), config("other"), force_conflicts=True)
    assert changed_lines(outcome)[0]["lines"] == ["data.LOG_LEVEL: warn → info"]
    assert actions(outcome)["ConfigMap/other"] == "unchanged"


def test_an_unchanged_release_costs_no_call_per_object(sandbox):
    objects = [config(f"settings-{number}") for number in range(40)]
    sandbox.release(*objects)
    cluster = connect({})
    assert not Release(cluster, sandbox.params(*objects), silent).present().differs
    assert cluster.api_calls < len(objects)


def test_check_before_the_namespace_exists_says_what_it_could_not_validate(sandbox):
    """The admission of a namespace completes its Pods, so no other one is asked about them."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "x"}]}}
    outcome = sandbox.release(config(), pod, check=True)
    assert set(actions(outcome).values()) == {"created"}
    assert [step.remark for step in outcome.steps[1:]] == [
        "",
        f"not validated: namespace {sandbox.name} does not exist yet",
    ]
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_check_writes_nothing(sandbox):
    sandbox.release(config())
    outcome = sandbox.release(config(LOG_LEVEL="debug"), config("other"), check=True)
    assert outcome.differs
    assert sandbox.get("configmaps/settings")["data"] == {"LOG_LEVEL": "info"}
    assert sandbox.get("configmaps/other") is None


def test_prune_deletes_what_left_and_keeps_data_and_foreign_objects(sandbox):
    sandbox.release(config(), config("old"), config("given-away"), claim())
    patch = {"metadata": {"labels": {"applyset.kubernetes.io/part-of": None}}}
    sandbox.act("PATCH", "configmaps/given-away", patch, "application/merge-patch+json")
    outcome = sandbox.release(config())
    assert {str(candidate.member.ref): candidate.action for candidate in outcome.prune_candidates} == {
        "ConfigMap/old": "pruned",
        "ConfigMap/given-away": "foreign",
        "PersistentVolumeClaim/data": "kept",
    }
    assert sandbox.get("configmaps/old") is None
    assert sandbox.get("configmaps/given-away")
    assert sandbox.get("persistentvolumeclaims/data")


def claim(name="data"):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def absent(sandbox, **params):
    outcome = Release(connect({}), sandbox.params(**params), silent).absent()
    assert not outcome.failures
    return outcome


def test_absent_keeps_data_and_knows_it_when_told_to_delete_it(sandbox):
    sandbox.release(config(), secret(), claim())
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
    Release(connect({}), ReleaseParams("demo", sandbox.name, [config(), claim()]), silent).present()
    absent(sandbox)
    assert sandbox.get("secrets/demo-release")
    absent(sandbox, delete_data=True)
    assert sandbox.get("persistentvolumeclaims/data") is None
    assert sandbox.get("secrets/demo-release") is None


def test_what_was_kept_is_adopted_by_the_next_release(sandbox):
    sandbox.release(config(), claim())
    uid = sandbox.get("persistentvolumeclaims/data")["metadata"]["uid"]
    absent(sandbox)
    outcome = sandbox.release(config(), claim())
    assert actions(outcome) == {
        f"Namespace/{sandbox.name}": "unchanged",
        "ConfigMap/settings": "created",
        "PersistentVolumeClaim/data": "unchanged",
    }
    assert (outcome.record.revision, outcome.record.state) == (2, "deployed")
    assert [past["state"] for past in outcome.record.history] == ["uninstalled"]
    assert sandbox.get("persistentvolumeclaims/data")["metadata"]["uid"] == uid


def test_conflict_names_the_other_manager_and_is_taken_over_only_when_asked(sandbox):
    sandbox.release(config())
    patch = {"data": {"LOG_LEVEL": "warn"}}
    sandbox.act("PATCH", "configmaps/settings", patch, "application/merge-patch+json")
    refused = sandbox.release(config())
    assert "data.LOG_LEVEL by 'someone'" in failure_text(refused)
    assert "force_conflicts: true" in failure_text(refused)
    assert sandbox.get("configmaps/settings")["data"] == {"LOG_LEVEL": "warn"}
    assert not sandbox.release(config(), force_conflicts=True).failures
    assert sandbox.get("configmaps/settings")["data"] == {"LOG_LEVEL": "info"}


def test_what_the_server_refuses_is_known_before_anything_is_written(sandbox):
    sandbox.release(config())
    outcome = sandbox.release(config("fine"), {**config("broken"), "immutable": "maybe"})
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
    sandbox.release(config())
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "weak"}}
    sandbox.act("POST", "serviceaccounts", account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = sandbox.act("POST", "serviceaccounts/weak/token", request)["status"]["token"]
    with pytest.raises(ClusterError) as error:
        sandbox.release(config(), options={"api_key": token})
    assert f"system:serviceaccount:{sandbox.name}:weak may not" in str(error.value)
    assert "kubectl auth can-i" in error.value.way_out


def test_a_wrong_token_is_said(sandbox):
    with pytest.raises(ClusterError, match="does not accept the credentials"):
        sandbox.release(config(), options={"api_key": "nonsense"})


def test_unreachable_names_the_address(sandbox):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"https://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"cannot reach the Kubernetes API at {host}: connection refused"):
            sandbox.release(config(), options={"host": host})


def test_an_unknown_authority_is_said(sandbox, tmp_path):
    other = tmp_path / "ca.pem"
    other.write_text("")
    with pytest.raises(ClusterError, match="a certificate we cannot verify"):
        sandbox.release(config(), options={"host": sandbox.cluster.access.server, "ca_cert": str(other)})


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_an_image_that_is_not_there_ends_the_wait_at_once(sandbox, kind):
    outcome = sandbox.release(workload(kind, "none.invalid/none:1", imagePullPolicy="Never"))
    assert "ErrImageNeverPull" in failure_text(outcome)
    assert outcome.timings["wait"] < 60  # of 120: not the timeout
    assert outcome.record.state == "failed"


def pause(cluster):
    """An image every node of a kubeadm cluster has."""
    images = [image for node in cluster.list("/api/v1/nodes") for image in node["status"]["images"]]
    return next(name for image in images for name in image["names"] if "/pause:" in name)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_good_image_follows_a_broken_one(sandbox, kind):
    """A StatefulSet never replaces a pod that never became ready; the release does."""
    assert sandbox.release(workload(kind, "none.invalid/none:1", imagePullPolicy="Never")).failures
    mended = sandbox.release(workload(kind, pause(sandbox.cluster), imagePullPolicy="Never"))
    assert not mended.failures
    assert [status.reason for status in mended.statuses if status.ref.kind == kind] == ["1/1 ready"]
    again = sandbox.release(workload(kind, pause(sandbox.cluster), imagePullPolicy="Never"))
    assert not again.differs
    assert not again.written


def test_what_still_serves_is_said(sandbox):
    """A Deployment keeps its ready pods until new ones are; nothing is kept that was never there."""
    broken = workload(image="none.invalid/none:1", imagePullPolicy="Never")
    assert "kept" not in failure_text(sandbox.release(broken))
    assert not sandbox.release(workload(image=pause(sandbox.cluster), imagePullPolicy="Never")).failures
    for _again in range(2):
        assert "\n  kept     revision 2 still serves 1/1; rollback: " in failure_text(sandbox.release(broken))


def test_nothing_serves_once_a_stateful_set_has_replaced_its_pod(sandbox):
    assert not sandbox.release(workload("StatefulSet", pause(sandbox.cluster), imagePullPolicy="Never")).failures
    outcome = sandbox.release(workload("StatefulSet", "none.invalid/none:1", imagePullPolicy="Never"))
    assert outcome.failures
    assert "kept" not in failure_text(outcome)


@pytest.mark.containers
def test_a_missing_secret_is_named(sandbox):
    options = {"imagePullPolicy": "Never", "envFrom": [{"secretRef": {"name": "no-such"}}]}
    outcome = sandbox.release(workload(image=pause(sandbox.cluster), **options))
    assert 'secret "no-such" not found' in failure_text(outcome)


@pytest.mark.containers
def test_a_crash_loop_shows_exit_code_and_ends_the_wait(sandbox):
    probe = {"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1}
    crashing = workload(image=pause(sandbox.cluster), imagePullPolicy="Never", livenessProbe=probe)
    crashing["spec"]["minReadySeconds"] = 60
    outcome = sandbox.release(crashing)
    assert "CrashLoopBackOff" in failure_text(outcome)
    assert "exit code" in failure_text(outcome)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_quota_without_room_ends_the_wait_at_once(sandbox, kind):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"pods": "0"}}}
    sandbox.release(quota)
    outcome = sandbox.release(quota, workload(kind))
    assert "exceeded quota: team" in failure_text(outcome)
    assert "ResourceQuota" in failure_text(outcome)
    assert outcome.timings["wait"] < 60


def test_too_large_a_pod_is_said_to_be_unschedulable(sandbox):
    outcome = sandbox.release(workload(resources={"requests": {"cpu": "1000"}}))
    assert "Insufficient cpu" in failure_text(outcome)
    assert outcome.timings["wait"] < 60


def test_a_terminating_namespace_is_seen_before_anything_is_written(sandbox):
    sandbox.release(config())
    hold = {"metadata": {"finalizers": ["example.dev/hold"]}}
    sandbox.act("PATCH", "configmaps/settings", hold, "application/merge-patch+json")
    sandbox.cluster.delete(f"/api/v1/namespaces/{sandbox.name}")
    try:
        with pytest.raises(ClusterError, match=f"namespace {sandbox.name} is being deleted since"):
            sandbox.release(config())
    finally:
        sandbox.act("PATCH", "configmaps/settings", {"metadata": {"finalizers": None}}, "application/merge-patch+json")


def test_another_release_s_object_is_left_alone(sandbox):
    sandbox.release(config())
    other = Release(connect({}), ReleaseParams("other", sandbox.name, [config()]), silent).present()
    assert "belongs to another release" in failure_text(other)


def test_preflight_reports_everything_at_once(sandbox):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "team"},
        "spec": {"hard": {"limits.memory": "8Gi"}},
    }
    pods = workload(
        image="demo:latest", envFrom=[{"secretRef": {"name": "no-such"}}], resources={"limits": {"memory": "4Gi"}}
    )
    pods["spec"]["replicas"] = 3
    custom = {"apiVersion": "example.dev/v1", "kind": "Unknown", "metadata": {"name": "x"}}
    preflight = Preflight(
        sandbox.cluster, sandbox.name, prepared([sandbox.namespace, quota, pods, custom], "demo", sandbox.name)
    )
    preflight.run()
    messages = {item["check"]: item["message"] for item in preflight.problems}
    assert {"quota", "images", "references", "kinds"} <= set(messages)
    assert messages["quota"] == "limits.memory would be 12Gi, ResourceQuota 'team' leaves 8Gi"
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_preflight_does_not_count_what_an_update_already_has(sandbox):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "team"},
        "spec": {"hard": {"limits.memory": "64Mi"}},
    }
    objects = [sandbox.namespace, quota, workload("StatefulSet", resources={"limits": {"memory": "64Mi"}})]
    objects[2]["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "somebody"}
    sandbox.release(*objects[1:])
    in_use = sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}/resourcequotas/team")
    assert in_use["status"]["used"]["limits.memory"] == "64Mi"
    preflight = Preflight(sandbox.cluster, sandbox.name, prepared(objects, "demo", sandbox.name))
    preflight.run()
    assert "quota" not in {item["check"] for item in preflight.problems}
