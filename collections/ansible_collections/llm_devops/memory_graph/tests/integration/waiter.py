# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A waiter, which applies objects in a namespace of one test and waits for them; and the objects to apply."""

from __future__ import annotations

import uuid

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import CLUSTER_SCOPED, ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait._wait import await_all
from ansible_collections.llm_devops.memory_graph.tests.integration.sandbox import cluster_under_test

MAX_WAIT_S = 250
"""Seconds; no failure that is reported at once takes half of it."""


class Waiter:
    """Applies objects in a namespace of its own and waits for them.

    ``progress_lines`` holds the texts of the wait; a key of ``reactions`` is part of a text, and its value is called
    once, when the first text with that part arrives.
    """

    def __init__(self):
        self.name = f"wait-test-{uuid.uuid4().hex[:8]}"
        self.cluster, self.discovery = cluster_under_test(), None
        self.progress_lines, self.reactions = [], {}
        self._paths = []
        self.cluster.request("POST", "/api/v1/namespaces", None, {"metadata": {"name": self.name}})

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
            self._paths.append(step.path)
            steps.append(step)
        return steps

    def _progress(self, _label, text):
        self.progress_lines.append(text)
        for part in [part for part in self.reactions if part in text]:
            self.reactions.pop(part)()

    def wait(self, *objects, timeout=MAX_WAIT_S, cluster=None):
        """Apply the objects, wait for them and return their statuses by ``Kind/name``."""
        steps = self.apply(*objects)
        statuses = await_all(cluster or self.cluster, self.discovery, steps, timeout, self._progress)
        return {str(status.ref): status for status in statuses}

    def patch_status(self, manifest, **status):
        resource = Discovery(self.cluster).find(manifest["apiVersion"], manifest["kind"])
        path = resource.path(self.name, manifest["metadata"]["name"]) + "/status"
        self.cluster.request("PATCH", path, None, {"status": status}, "application/merge-patch+json")

    def clear(self):
        for path in [f"/api/v1/namespaces/{self.name}", *(path for path in self._paths if "/namespaces/" not in path)]:
            self.cluster.delete(path)


def ready(statuses):
    """Return the reasons of the statuses that are ready, by ``Kind/name``."""
    return {name: status.reason for name, status in statuses.items() if status.state == "ready"}


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
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, **spec}
    return obj("v1", "PersistentVolumeClaim", name, spec)


def load_balancer():
    return obj("v1", "Service", "public", {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "x"}})
