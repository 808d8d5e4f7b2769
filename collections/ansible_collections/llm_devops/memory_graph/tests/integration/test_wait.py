# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting, against the real API server of KUBECONFIG: every kind becomes ready, or says why it does not."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._verdict import UNSEEN
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import CLUSTER_SCOPED, ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait._wait import await_all

LONG = 250
"""Seconds; no failure that is told at once takes half of it."""
CLASS = "storage.k8s.io/v1"


class WaitSandbox:
    """A namespace of its own, objects applied in it, and the wait for them with what it said."""

    def __init__(self):
        self.name = f"wait-test-{uuid.uuid4().hex[:8]}"
        self.cluster, self.discovery = connect({}), None
        self.lines, self.callbacks = [], {}
        self.created = []

    def apply(self, *objects):
        steps = []
        for manifest in objects:
            if manifest["kind"] not in CLUSTER_SCOPED:
                manifest["metadata"]["namespace"] = self.name
            self.discovery = Discovery(self.cluster)
            resource = self.discovery.find(manifest["apiVersion"], manifest["kind"])
            step = Step(manifest, ref(manifest), resource)
            step.live = self.cluster.find(step.path)
            step.after, created = self.cluster.apply(step.path, manifest)
            step.action = "created" if created else "configured"
            self.created.append(step.path)
            steps.append(step)
        return steps

    def say(self, _label, text):
        self.lines.append(text)
        for text_part in [text_part for text_part in self.callbacks if text_part in text]:
            self.callbacks.pop(text_part)()

    def wait(self, *objects, timeout=LONG, cluster=None):
        """Statuses by ``Kind/name``."""
        steps = self.apply(*objects)
        return {
            str(status.ref): status
            for status in await_all(cluster or self.cluster, self.discovery, steps, timeout, self.say)
        }

    def patch_status(self, manifest, **status):
        resource = Discovery(self.cluster).find(manifest["apiVersion"], manifest["kind"])
        path = resource.path(self.name, manifest["metadata"]["name"]) + "/status"
        self.cluster.request("PATCH", path, None, {"status": status}, "application/merge-patch+json")

    def clear(self):
        for path in [f"/api/v1/namespaces/{self.name}", *(path for path in self.created if "/namespaces/" not in path)]:
            self.cluster.delete(path)


@pytest.fixture
def sandbox():
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("set KUBECONFIG to a cluster the tests may use")
    sandbox = WaitSandbox()
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, {"metadata": {"name": sandbox.name}})
    yield sandbox
    sandbox.clear()


@pytest.fixture(scope="session")
def image():
    """An image with a shell that the nodes have: Molecule's, the one MEMORY_GRAPH_IMAGE names, or a busybox."""
    if folder := os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY"):
        return (Path(folder) / "image").read_text()
    images = [image_entry for node in connect({}).list("/api/v1/nodes") for image_entry in node["status"]["images"]]
    busyboxes = [name for image_entry in images for name in image_entry["names"] if "/busybox:" in name]
    name = os.environ.get("MEMORY_GRAPH_IMAGE") or next(iter(busyboxes), None)
    return name or pytest.fail("set MEMORY_GRAPH_IMAGE to an image that the nodes of the cluster have")


def obj(api_version, kind, name, spec=None, **more):
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **more}
    return body if spec is None else {**body, "spec": spec}


def pod(image, *command, policy="Always", volumes=(), **container):
    main = {"name": "main", "image": image, "command": list(command or ("sleep", "infinity")), **container}
    return {"terminationGracePeriodSeconds": 0, "restartPolicy": policy, "containers": [main],
            "volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in volumes]}  # fmt: skip


def workload(kind, name, pod_spec, mark="1", **spec):
    template = {"metadata": {"labels": {"app": name}, "annotations": {"mark": mark}}, "spec": pod_spec}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return obj("apps/v1", kind, name, {"selector": {"matchLabels": {"app": name}}, "template": template, **spec})


def job(name, pod_spec, **spec):
    return obj("batch/v1", "Job", name, {"template": {"spec": pod_spec}, **spec})


def claim(name, **spec):
    claim_spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, **spec}
    return obj("v1", "PersistentVolumeClaim", name, claim_spec)


def storage_class(sandbox, mode):
    """A class like the cluster's default one, with that binding mode."""
    (default,) = [
        item for item in sandbox.cluster.list("/apis/storage.k8s.io/v1/storageclasses")
        if item["metadata"].get("annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    ]  # fmt: skip
    named = f"{sandbox.name}-{mode}".lower()
    return obj(CLASS, "StorageClass", named, provisioner=default["provisioner"], volumeBindingMode=mode)


def ready(statuses):
    return {name: status.reason for name, status in statuses.items() if status.state == "ready"}


def test_every_kind_becomes_ready(sandbox, image):
    late = storage_class(sandbox, "WaitForFirstConsumer")
    sandbox.apply(late)
    late_claim = {"storageClassName": late["metadata"]["name"]}
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    once = pod(image, "true", policy="Never")
    never_ready = {"exec": {"command": ["false"]}}  # else a pod may be seen ready before it has ended
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    statuses = sandbox.wait(
        claim("mounted", **late_claim),  # before what mounts it, as a release applies them
        claim("for-later", **late_claim),
        workload("Deployment", "web", pod(image, volumes=["mounted"])),
        workload("Deployment", "paused", pod(image), paused=True),
        workload("ReplicaSet", "bare-set", pod(image)),
        workload("StatefulSet", "store", pod(image)),
        workload("DaemonSet", "agent", pod(image)),
        workload("DaemonSet", "nowhere", {**pod(image), "nodeSelector": {"no": "such"}}),
        obj("v1", "Pod", "lone", pod(image)),
        obj("v1", "Pod", "done", pod(image, "true", policy="Never", readinessProbe=never_ready)),
        job("migrate", once),
        job("suspended", once, suspend=True),
        obj(
            "batch/v1",
            "CronJob",
            "nightly",
            {"schedule": "0 2 * * *", "jobTemplate": {"spec": {"template": {"spec": once}}}},
        ),
        obj("v1", "Service", "web", {"selector": {"app": "web"}, "ports": [{"port": 80}]}),
        obj("networking.k8s.io/v1", "Ingress", "web", {"defaultBackend": backend}),
        obj(
            "policy/v1", "PodDisruptionBudget", "web", {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        ),
        obj("autoscaling/v2", "HorizontalPodAutoscaler", "web", {"maxReplicas": 1, "scaleTargetRef": scaled}),
        obj("v1", "Namespace", sandbox.name),
        obj("v1", "ConfigMap", "settings", data={"LOG_LEVEL": "info"}),
    )
    assert {name: status for name, status in statuses.items() if status.state != "ready"} == {}
    reasons = ready(statuses)
    assert reasons["Deployment/web"] == reasons["StatefulSet/store"] == reasons["ReplicaSet/bare-set"] == "1/1 ready"
    assert reasons["Deployment/paused"] == "0/1 ready, paused"
    assert reasons["DaemonSet/nowhere"] == "0/0 ready, no node may take its pods"
    assert reasons["PersistentVolumeClaim/mounted"] == "bound"
    assert reasons["PersistentVolumeClaim/for-later"] == "waits for its first consumer"
    assert reasons["Job/migrate"] == "complete"
    assert reasons["Pod/done"] == "succeeded"


def test_an_update_that_somebody_else_drives_is_not_waited_for(sandbox, image):
    def objects(mark):
        partition = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
        return [
            workload("StatefulSet", "parted", pod(image), mark, replicas=2, updateStrategy=partition),
            workload("StatefulSet", "by-hand", pod(image), mark, updateStrategy={"type": "OnDelete"}),
            workload("DaemonSet", "agent", pod(image), mark, updateStrategy={"type": "OnDelete"}),
        ]

    assert len(ready(sandbox.wait(*objects("1")))) == 3
    reasons = ready(sandbox.wait(*objects("2")))
    assert reasons == {
        "StatefulSet/parted": "2/2 ready, 1/1 updated (partition 1)",
        "StatefulSet/by-hand": "1/1 ready, 1 updated when deleted",
        "DaemonSet/agent": "1/1 ready, 1 updated when deleted",
    }


def balanced():
    return obj("v1", "Service", "public", {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "x"}})


def test_a_load_balancer_is_awaited_and_says_so(sandbox):
    public = balanced()
    address = {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}
    sandbox.callbacks["no load balancer address yet"] = lambda: sandbox.patch_status(public, **address)
    statuses = sandbox.wait(public)
    assert statuses["Service/public"].reason == "192.0.2.7"
    assert statuses["Service/public"].trail == ["no load balancer address yet", "192.0.2.7"]


def test_a_load_balancer_that_never_comes_says_what_was_missing(sandbox):
    status = sandbox.wait(balanced(), timeout=2)["Service/public"]
    assert (status.state, status.reason) == ("progressing", f"no load balancer address yet: {UNSEEN}")
    assert status.why == "nothing in the cluster has given the Service an address"
    assert "NodePort" in status.way_out


def definition(sandbox, kind="Widget"):
    group, plural = f"{sandbox.name}.example.dev", f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{group}", spec)


@pytest.mark.containers
def test_a_probe_that_fails_is_said_once_while_it_does(sandbox, image):
    probe = {"exec": {"command": ["sh", "-c", "echo no database; exit 1"]}, "periodSeconds": 1, "timeoutSeconds": 9}
    web = workload("Deployment", "web", pod(image, "sh", "-c", "echo asking; sleep infinity", readinessProbe=probe))
    status = sandbox.wait(web, timeout=15)["Deployment/web"]
    assert status.reason == "0/1 not ready: Readiness probe failed: no database"
    assert status.log == ["asking"]
    assert [line for line in sandbox.lines if "Readiness" in line] == [f"Deployment/web  {status.reason}"]


def powerless(sandbox, *rules):
    """The cluster as a service account with these rights in the namespace sees it."""
    named = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "weak", "namespace": sandbox.name}}
    subject = {"kind": "ServiceAccount", "name": "weak", "namespace": sandbox.name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "weak"}
    binding = {**named, "kind": "RoleBinding", "roleRef": role, "subjects": [subject]}
    account = obj("v1", "ServiceAccount", "weak")
    sandbox.apply(account, {**named, "kind": "Role", "rules": list(rules)}, binding)
    path = f"/api/v1/namespaces/{sandbox.name}/serviceaccounts/weak/token"
    return connect({"api_key": sandbox.cluster.request("POST", path, None, {"spec": {}})["status"]["token"]})


def test_without_the_right_to_see_pods_only_the_reasons_are_missing(sandbox, image):
    weak = powerless(sandbox, {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]})
    assert ready(sandbox.wait(workload("Deployment", "web", pod(image)), cluster=weak)) == {
        "Deployment/web": "1/1 ready"
    }
    broken = workload("Deployment", "web", pod("no:such", imagePullPolicy="Never"))
    status = sandbox.wait(broken, cluster=weak, timeout=3)["Deployment/web"]
    assert status.state == "progressing"
    assert any("weak may not watch pods in namespace" in line for line in status.events)


def test_without_the_right_to_watch_an_object_the_wait_says_so(sandbox):
    weak = powerless(sandbox)
    status = sandbox.wait(balanced(), cluster=weak)["Service/public"]
    assert status.state == "failed"
    assert f"weak may not watch services in namespace {sandbox.name}" in status.reason
