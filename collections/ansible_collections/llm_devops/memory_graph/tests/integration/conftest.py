# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Namespaces and users of the cluster under test."""

from __future__ import annotations

import base64
import os
import time
import uuid

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams

DELETION_TIMEOUT_S = 60
CONTAINERS = "containers: needs containers that really run: their exit codes, output, probes or answers"
deselected = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.addinivalue_line("markers", CONTAINERS)
    config.stash[deselected] = []


def pytest_deselected(items):
    for item in items:
        if item.get_closest_marker("containers"):
            item.config.stash[deselected].append(item.name)


def pytest_terminal_summary(terminalreporter, config):
    """Print the names of the deselected tests; pytest itself prints only how many there are."""
    for name in config.stash[deselected]:
        terminalreporter.write_line(f"NOT RUN {name}: it needs containers that really run")


class ReleaseSandbox:
    """A namespace of one test, releases of ``demo`` into it, and their progress as lines ``label text``."""

    def __init__(self, name):
        self.name = name
        self.cluster = connect({})
        self.progress_lines = []

    @property
    def namespace(self):
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}

    def run(self, *objects, **params):
        """Return a release that has not started; with ``revision`` it is a rollback."""
        defaults = {} if "revision" in params else {"objects": [self.namespace, *objects]}
        options = {"wait_timeout": 60, **defaults, **params}
        return Release(
            connect({}),
            ReleaseParams("demo", self.name, **options),
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
            assert time.monotonic() < limit, f"{path} is still there"
            time.sleep(0.1)

    def names(self, plural):
        return sorted(item["metadata"]["name"] for item in self.cluster.list(self.path(plural)))

    def edit(self, path, body, manager="kubectl-edit"):
        """Send a merge patch under the field manager of ``kubectl edit``."""
        return self.cluster.request(
            "PATCH", path if path.startswith("/") else self.path(path), {"fieldManager": manager}, body,
            "application/merge-patch+json",
        )  # fmt: skip


@pytest.fixture
def sandbox():
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("set KUBECONFIG to a cluster the tests may use")
    new_sandbox = ReleaseSandbox(f"release-test-{uuid.uuid4().hex[:8]}")
    yield new_sandbox
    new_sandbox.cluster.delete(f"/api/v1/namespaces/{new_sandbox.name}")


@pytest.fixture(scope="module")
def admin():
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("set KUBECONFIG to a cluster the tests may use")
    return connect({})


@pytest.fixture(scope="module")
def namespace(admin):
    name = f"auth-{uuid.uuid4().hex[:8]}"
    admin.request("POST", "/api/v1/namespaces", None, {"metadata": {"name": name}})
    for account in ("one", "two"):
        path = f"/api/v1/namespaces/{name}/serviceaccounts"
        admin.request("POST", path, None, {"metadata": {"name": account}})
    role = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "one", "namespace": name}],
            "metadata": {"name": "one"}}  # fmt: skip
    admin.request("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/rolebindings", None, role)
    yield name
    admin.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def token(admin, namespace):
    def issue(account="one"):
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return admin.request("POST", path, None, {"spec": {"expirationSeconds": 3600}})["status"]["token"]

    return issue


@pytest.fixture
def config(admin):
    """Return a function that makes kubeconfigs of the real cluster for another user."""

    def make(*, name="main", cluster=None, **user):
        ca = base64.b64encode(admin.access.ca).decode()
        server = {"server": admin.access.server, "certificate-authority-data": ca}
        return {
            "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "clusters": [{"name": name, "cluster": {**server, **(cluster or {})}}],
            "users": [{"name": name, "user": user}],
        }

    return make


@pytest.fixture
def ca_file(admin, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(admin.access.ca)
    return path
