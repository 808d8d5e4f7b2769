# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A namespace of one test in the cluster of KUBECONFIG, and releases into it."""

from __future__ import annotations

import os
import time
import uuid

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams

DELETION_TIMEOUT_S = 60
WAIT_TIMEOUT_S = 120


def cluster_under_test():
    """Return a connection to the cluster of KUBECONFIG; without it the test fails."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("set KUBECONFIG to a cluster the tests may use")
    return connect({})


def node_images(cluster):
    """Return the names of the images that the nodes have."""
    nodes = cluster.list("/api/v1/nodes")
    return [name for node in nodes for image in node["status"]["images"] for name in image["names"]]


def pause_image(cluster):
    """Return the name of the pause image, which every node of a kubeadm cluster has."""
    return next(name for name in node_images(cluster) if "/pause:" in name)


def workload(kind="Deployment", image="nowhere.invalid/none:1", **container):
    """Return a workload of one container; no node has its image unless another one is given."""
    labels = {"app": "demo"}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": image, **container}]}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if kind == "StatefulSet":
        spec["serviceName"] = "demo"
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "demo"}, "spec": spec}


class ReleaseSandbox:
    """A namespace of one test, releases of ``demo`` into it, and their progress as lines ``label text``."""

    def __init__(self):
        self.name = f"release-test-{uuid.uuid4().hex[:8]}"
        self.cluster = cluster_under_test()
        self.progress_lines = []

    @property
    def namespace(self):
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}

    def run(self, *objects, cluster=None, **params):
        """Return a release that has not started; with ``revision`` it is a rollback."""
        defaults = {} if "revision" in params else {"objects": [self.namespace, *objects]}
        return Release(
            cluster or connect({}),
            ReleaseParams("demo", self.name, **{"wait_timeout": WAIT_TIMEOUT_S, **defaults, **params}),
            lambda *line: self.progress_lines.append(" ".join(line)),
        )

    def release(self, *objects, **params):
        return self.run(*objects, **params).present()

    def config(self, name="settings", **data):
        metadata = {"name": name, "namespace": self.name}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"LOG_LEVEL": "info"}}

    def path(self, path):
        return f"/api/v1/namespaces/{self.name}/{path}"

    def get(self, path):
        return self.cluster.find(self.path(path))

    def remove(self, path):
        """Delete an object and return once it is gone: its finalizers may keep it for a while."""
        self.cluster.delete(self.path(path))
        limit = time.monotonic() + DELETION_TIMEOUT_S
        while self.cluster.find(self.path(path)):
            assert time.monotonic() < limit, f"{path} still exists"
            time.sleep(0.1)

    def names(self, plural):
        return sorted(item["metadata"]["name"] for item in self.cluster.list(self.path(plural)))

    def edit(self, path, body, manager="kubectl-edit"):
        """Send a merge patch under the field manager of ``kubectl edit``, or another one."""
        return self.cluster.request(
            "PATCH", path if path.startswith("/") else self.path(path), {"fieldManager": manager}, body,
            "application/merge-patch+json",
        )  # fmt: skip
