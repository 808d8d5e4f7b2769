# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: namespaces, users and proxies of the cluster under test."""

from __future__ import annotations

import base64
import os
import uuid
from pathlib import Path

import pytest
from ansible_collections.llm_devops.memory_graph.tests.integration.fault_proxy import FaultProxy
from ansible_collections.llm_devops.memory_graph.tests.integration.sandbox import (
    ReleaseSandbox,
    cluster_under_test,
    node_images,
)
from ansible_collections.llm_devops.memory_graph.tests.integration.waiter import Waiter

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


@pytest.fixture
def sandbox():
    release_sandbox = ReleaseSandbox()
    yield release_sandbox
    release_sandbox.cluster.delete(f"/api/v1/namespaces/{release_sandbox.name}")


@pytest.fixture
def waiter():
    applying_waiter = Waiter()
    yield applying_waiter
    applying_waiter.clear()


@pytest.fixture(scope="session")
def image():
    """An image with a shell that the nodes have: Molecule's, the one MEMORY_GRAPH_IMAGE names, or a busybox."""
    if folder := os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY"):
        return (Path(folder) / "image").read_text()
    busyboxes = [name for name in node_images(cluster_under_test()) if "/busybox:" in name]
    name = os.environ.get("MEMORY_GRAPH_IMAGE") or next(iter(busyboxes), None)
    return name or pytest.fail("set MEMORY_GRAPH_IMAGE to an image that the nodes of the cluster have")


@pytest.fixture
def proxy(admin, tmp_path):
    """A proxy before the API server, which injects no fault yet."""
    with FaultProxy(admin, tmp_path) as faultless:
        yield faultless


@pytest.fixture(scope="module")
def admin():
    return cluster_under_test()


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


@pytest.fixture
def _no_proxies(monkeypatch):
    """Removes the proxy variables of the surroundings."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
