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

    def wish(self, *objects, **options):
        return ReleaseParams("demo", self.name, [self.namespace, *objects], **{"wait_timeout": 120, **options})

    def release(self, *objects, options=None, **wish):
        return Release(connect(options or {}), self.wish(*objects, **wish), silent).present()

    def get(self, path):
        return self.cluster.find(f"/api/v1/namespaces/{self.name}/{path}")

    def act(self, method, path, body, content_type="application/json"):
        return self.cluster.request(
            method, f"/api/v1/namespaces/{self.name}/{path}", {"fieldManager": "someone"}, body, content_type
        )


@pytest.fixture
def place():
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("set KUBECONFIG to a cluster the tests may use")
    made = Place()
    yield made
    made.cluster.delete(f"/api/v1/namespaces/{made.name}")


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


def test_create_then_unchanged_then_changed(place):
    objects = [config(), secret(), workload(resources={"requests": {"cpu": "1000m", "memory": "1024Mi"}})]
    objects[2]["spec"]["replicas"] = 0
    first = place.release(*objects)
    assert not first.failures
    assert set(actions(first).values()) == {"created"}
    assert first.record.revision == 1
    second = place.release(*objects)
    assert set(actions(second).values()) == {"unchanged"}
    assert not second.differs
    assert not second.written
    assert second.record.revision == 1
    third = place.release(config(LOG_LEVEL="debug"), *objects[1:])
    assert {name for name, action in actions(third).items() if action == "configured"} == {"ConfigMap/settings"}
    assert changed_lines(third)[0] == {
        "kind": "ConfigMap",
        "api_version": "v1",
        "namespace": place.name,
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


def test_replicas_belong_to_the_autoscaler(place):
    objects = [workload(image="node.invalid/none:1", resources={"requests": {"cpu": "1m"}}), autoscaler()]
    objects[0]["spec"].update(replicas=1, paused=True)
    place.release(*objects, wait=False)
    scale = {"spec": {"replicas": 3}}
    place.cluster.request(
        "PATCH", f"/apis/apps/v1/namespaces/{place.name}/deployments/demo/scale",
        {"fieldManager": "kube-controller-manager"}, scale, "application/merge-patch+json",
    )  # fmt: skip
    again = place.release(*objects, wait=False)
    assert not again.failures
    assert not again.differs
    objects[0]["spec"]["minReadySeconds"] = 3
    changed = place.release(*objects, wait=False)
    assert changed_lines(changed)[0]["lines"] == ["spec.minReadySeconds: absent → 3"]
    assert place.cluster.find(f"/apis/apps/v1/namespaces/{place.name}/deployments/demo")["spec"]["replicas"] == 3


def test_an_edit_by_hand_is_seen_although_the_manifest_is_the_same(place):
    place.release(config(), config("other"))
    assert not place.release(config(), config("other")).differs
    place.act("PATCH", "configmaps/settings", {"data": {"LOG_LEVEL": "warn"}}, "application/merge-patch+json")
    outcome = place.release(config(), config("other"), force_conflicts=True)
    assert changed_lines(outcome)[0]["lines"] == ["data.LOG_LEVEL: warn → info"]
    assert actions(outcome)["ConfigMap/other"] == "unchanged"


def test_an_unchanged_release_costs_no_call_per_object(place):
    objects = [config(f"settings-{number}") for number in range(40)]
    place.release(*objects)
    cluster = connect({})
    assert not Release(cluster, place.wish(*objects), silent).present().differs
    assert cluster.api_calls < len(objects)


def test_check_before_the_namespace_exists_says_what_it_could_not_validate(place):
    """The admission of a namespace completes its Pods, so no other one is asked about them."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "x"}]}}
    outcome = place.release(config(), pod, check=True)
    assert set(actions(outcome).values()) == {"created"}
    assert [step.remark for step in outcome.steps[1:]] == [
        "",
        f"not validated: namespace {place.name} does not exist yet",
    ]
    assert place.cluster.find(f"/api/v1/namespaces/{place.name}") is None


def test_check_writes_nothing(place):
    place.release(config())
    outcome = place.release(config(LOG_LEVEL="debug"), config("other"), check=True)
    assert outcome.differs
    assert place.get("configmaps/settings")["data"] == {"LOG_LEVEL": "info"}
    assert place.get("configmaps/other") is None


def test_prune_deletes_what_left_and_keeps_data_and_foreign_objects(place):
    place.release(config(), config("old"), config("given-away"), claim())
    patch = {"metadata": {"labels": {"applyset.kubernetes.io/part-of": None}}}
    place.act("PATCH", "configmaps/given-away", patch, "application/merge-patch+json")
    outcome = place.release(config())
    assert {str(one.member.ref): one.action for one in outcome.prune_candidates} == {
        "ConfigMap/old": "pruned",
        "ConfigMap/given-away": "foreign",
        "PersistentVolumeClaim/data": "kept",
    }
    assert place.get("configmaps/old") is None
    assert place.get("configmaps/given-away")
    assert place.get("persistentvolumeclaims/data")


def claim(name="data"):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def absent(place, **wish):
    outcome = Release(connect({}), place.wish(**wish), silent).absent()
    assert not outcome.failures
    return outcome


def test_absent_keeps_data_and_knows_it_when_told_to_delete_it(place):
    place.release(config(), secret(), claim())
    absent(place)
    assert place.get("configmaps/settings") is None
    assert place.get("persistentvolumeclaims/data")
    assert place.cluster.find(f"/api/v1/namespaces/{place.name}")["status"]["phase"] == "Active"
    again = absent(place)
    assert not again.differs
    assert {str(one.member.ref): one.action for one in again.prune_candidates} == {
        f"Namespace/{place.name}": "kept",
        "PersistentVolumeClaim/data": "kept",
    }
    absent(place, delete_data=True)
    assert place.cluster.find(f"/api/v1/namespaces/{place.name}") is None


def test_absent_deletes_the_record_with_the_last_member(place):
    place.cluster.request("POST", "/api/v1/namespaces", None, place.namespace)
    Release(connect({}), ReleaseParams("demo", place.name, [config(), claim()]), silent).present()
    absent(place)
    assert place.get("secrets/demo-release")
    absent(place, delete_data=True)
    assert place.get("persistentvolumeclaims/data") is None
    assert place.get("secrets/demo-release") is None


def test_what_was_kept_is_adopted_by_the_next_release(place):
    place.release(config(), claim())
    uid = place.get("persistentvolumeclaims/data")["metadata"]["uid"]
    absent(place)
    outcome = place.release(config(), claim())
    assert actions(outcome) == {
        f"Namespace/{place.name}": "unchanged",
        "ConfigMap/settings": "created",
        "PersistentVolumeClaim/data": "unchanged",
    }
    assert (outcome.record.revision, outcome.record.state) == (2, "deployed")
    assert [past["state"] for past in outcome.record.history] == ["uninstalled"]
    assert place.get("persistentvolumeclaims/data")["metadata"]["uid"] == uid


def test_conflict_names_the_other_manager_and_is_taken_over_only_when_asked(place):
    place.release(config())
    patch = {"data": {"LOG_LEVEL": "warn"}}
    place.act("PATCH", "configmaps/settings", patch, "application/merge-patch+json")
    refused = place.release(config())
    assert "data.LOG_LEVEL by 'someone'" in failure_text(refused)
    assert "force_conflicts: true" in failure_text(refused)
    assert place.get("configmaps/settings")["data"] == {"LOG_LEVEL": "warn"}
    assert not place.release(config(), force_conflicts=True).failures
    assert place.get("configmaps/settings")["data"] == {"LOG_LEVEL": "info"}


def test_what_the_server_refuses_is_known_before_anything_is_written(place):
    place.release(config())
    outcome = place.release(config("fine"), {**config("broken"), "immutable": "maybe"})
    assert "ConfigMap/broken" in failure_text(outcome)
    assert "Nothing was written." in failure_text(outcome)
    assert place.get("configmaps/fine") is None


def test_a_secret_never_shows(place):
    first = place.release(secret())
    changed = place.release(secret(SECRET + "!"))
    shown = json.dumps([entries(first), entries(changed), changed_lines(changed)])
    assert SECRET not in shown
    assert "Y29ycmVjdC1ob3JzZS" not in shown
    assert changed_lines(changed)[0]["lines"][0].startswith("data.API_KEY: changed (keyed hash ")


def test_forbidden_names_who_may_not_do_what(place):
    place.release(config())
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "weak"}}
    place.act("POST", "serviceaccounts", account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = place.act("POST", "serviceaccounts/weak/token", request)["status"]["token"]
    with pytest.raises(ClusterError) as error:
        place.release(config(), options={"api_key": token})
    assert f"system:serviceaccount:{place.name}:weak may not" in str(error.value)
    assert "kubectl auth can-i" in error.value.way_out


def test_a_wrong_token_is_said(place):
    with pytest.raises(ClusterError, match="does not accept the credentials"):
        place.release(config(), options={"api_key": "nonsense"})


def test_unreachable_names_the_address(place):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"https://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"cannot reach the Kubernetes API at {host}: connection refused"):
            place.release(config(), options={"host": host})


def test_an_unknown_authority_is_said(place, tmp_path):
    other = tmp_path / "ca.pem"
    other.write_text("")
    with pytest.raises(ClusterError, match="a certificate we cannot verify"):
        place.release(config(), options={"host": place.cluster.access.server, "ca_cert": str(other)})


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_an_image_that_is_not_there_ends_the_wait_at_once(place, kind):
    outcome = place.release(workload(kind, "none.invalid/none:1", imagePullPolicy="Never"))
    assert "ErrImageNeverPull" in failure_text(outcome)
    assert outcome.timings["wait"] < 60  # of 120: not the timeout
    assert outcome.record.state == "failed"


def pause(cluster):
    """An image every node of a kubeadm cluster has."""
    images = [image for node in cluster.list("/api/v1/nodes") for image in node["status"]["images"]]
    return next(name for image in images for name in image["names"] if "/pause:" in name)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_good_image_follows_a_broken_one(place, kind):
    """A StatefulSet never replaces a pod that never became ready; the release does."""
    assert place.release(workload(kind, "none.invalid/none:1", imagePullPolicy="Never")).failures
    mended = place.release(workload(kind, pause(place.cluster), imagePullPolicy="Never"))
    assert not mended.failures
    assert [status.reason for status in mended.statuses if status.ref.kind == kind] == ["1/1 ready"]
    again = place.release(workload(kind, pause(place.cluster), imagePullPolicy="Never"))
    assert not again.differs
    assert not again.written


def test_what_still_serves_is_said(place):
    """A Deployment keeps its ready pods until new ones are; nothing is kept that was never there."""
    broken = workload(image="none.invalid/none:1", imagePullPolicy="Never")
    assert "kept" not in failure_text(place.release(broken))
    assert not place.release(workload(image=pause(place.cluster), imagePullPolicy="Never")).failures
    for _again in range(2):
        assert "\n  kept     revision 2 still serves 1/1; rollback: " in failure_text(place.release(broken))


def test_nothing_serves_once_a_stateful_set_has_replaced_its_pod(place):
    assert not place.release(workload("StatefulSet", pause(place.cluster), imagePullPolicy="Never")).failures
    outcome = place.release(workload("StatefulSet", "none.invalid/none:1", imagePullPolicy="Never"))
    assert outcome.failures
    assert "kept" not in failure_text(outcome)


@pytest.mark.containers
def test_a_missing_secret_is_named(place):
    options = {"imagePullPolicy": "Never", "envFrom": [{"secretRef": {"name": "no-such"}}]}
    outcome = place.release(workload(image=pause(place.cluster), **options))
    assert 'secret "no-such" not found' in failure_text(outcome)


@pytest.mark.containers
def test_a_crash_loop_shows_exit_code_and_ends_the_wait(place):
    probe = {"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1}
    crashing = workload(image=pause(place.cluster), imagePullPolicy="Never", livenessProbe=probe)
    crashing["spec"]["minReadySeconds"] = 60
    outcome = place.release(crashing)
    assert "CrashLoopBackOff" in failure_text(outcome)
    assert "exit code" in failure_text(outcome)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_quota_without_room_ends_the_wait_at_once(place, kind):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"pods": "0"}}}
    place.release(quota)
    outcome = place.release(quota, workload(kind))
    assert "exceeded quota: team" in failure_text(outcome)
    assert "ResourceQuota" in failure_text(outcome)
    assert outcome.timings["wait"] < 60


def test_too_large_a_pod_is_said_to_be_unschedulable(place):
    outcome = place.release(workload(resources={"requests": {"cpu": "1000"}}))
    assert "Insufficient cpu" in failure_text(outcome)
    assert outcome.timings["wait"] < 60


def test_a_terminating_namespace_is_seen_before_anything_is_written(place):
    place.release(config())
    hold = {"metadata": {"finalizers": ["example.dev/hold"]}}
    place.act("PATCH", "configmaps/settings", hold, "application/merge-patch+json")
    place.cluster.delete(f"/api/v1/namespaces/{place.name}")
    try:
        with pytest.raises(ClusterError, match=f"namespace {place.name} is being deleted since"):
            place.release(config())
    finally:
        place.act("PATCH", "configmaps/settings", {"metadata": {"finalizers": None}}, "application/merge-patch+json")


def test_another_release_s_object_is_left_alone(place):
    place.release(config())
    other = Release(connect({}), ReleaseParams("other", place.name, [config()]), silent).present()
    assert "belongs to another release" in failure_text(other)


def test_preflight_reports_everything_at_once(place):
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
        place.cluster, place.name, prepared([place.namespace, quota, pods, custom], "demo", place.name)
    )
    preflight.run()
    found = {item["check"]: item["message"] for item in preflight.problems}
    assert {"quota", "images", "references", "kinds"} <= set(found)
    assert found["quota"] == "limits.memory would be 12Gi, ResourceQuota 'team' leaves 8Gi"
    assert place.cluster.find(f"/api/v1/namespaces/{place.name}") is None


def test_preflight_does_not_count_what_an_update_already_has(place):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "team"},
        "spec": {"hard": {"limits.memory": "64Mi"}},
    }
    objects = [place.namespace, quota, workload("StatefulSet", resources={"limits": {"memory": "64Mi"}})]
    objects[2]["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "somebody"}
    place.release(*objects[1:])
    in_use = place.cluster.find(f"/api/v1/namespaces/{place.name}/resourcequotas/team")
    assert in_use["status"]["used"]["limits.memory"] == "64Mi"
    preflight = Preflight(place.cluster, place.name, prepared(objects, "demo", place.name))
    preflight.run()
    assert "quota" not in {item["check"] for item in preflight.problems}
