# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The release engine against the real API server of KUBECONFIG. Each test has its own namespace and removes it."""

from __future__ import annotations

import json
import os
import uuid

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import (
    changed_lines,
    entries,
    failure_text,
)

SECRET = "correct-horse-battery-staple"


def silent(_label, _text):
    """Progress nobody looks at."""


class EngineSandbox:
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
    new_sandbox = EngineSandbox()
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


def claim(name="data"):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


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
