# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Errors that prevent a release, told in a sentence, against the real API server of KUBECONFIG."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._preflight import Preflight
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import (
    failure_text,
)
from ansible_collections.llm_devops.memory_graph.tests.integration.test_release import (  # noqa: F401  # pylint: disable=unused-import
    config,
    sandbox,
    silent,
    workload,
)


def test_forbidden_names_who_may_not_do_what(sandbox):  # noqa: F811
    sandbox.release(config())
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "weak"}}
    sandbox.act("POST", "serviceaccounts", account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = sandbox.act("POST", "serviceaccounts/weak/token", request)["status"]["token"]
    with pytest.raises(ClusterError) as error:
        sandbox.release(config(), options={"api_key": token})
    assert f"system:serviceaccount:{sandbox.name}:weak may not" in str(error.value)
    assert "kubectl auth can-i" in error.value.way_out


def test_a_wrong_token_is_said(sandbox):  # noqa: F811
    with pytest.raises(ClusterError, match="does not accept the credentials"):
        sandbox.release(config(), options={"api_key": "nonsense"})


def test_unreachable_names_the_address(sandbox):  # noqa: F811
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"https://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"cannot reach the Kubernetes API at {host}: connection refused"):
            sandbox.release(config(), options={"host": host})


def test_an_unknown_authority_is_said(sandbox, tmp_path):  # noqa: F811
    other = tmp_path / "ca.pem"
    other.write_text("")
    with pytest.raises(ClusterError, match="a certificate we cannot verify"):
        sandbox.release(config(), options={"host": sandbox.cluster.access.server, "ca_cert": str(other)})


def test_a_terminating_namespace_is_seen_before_anything_is_written(sandbox):  # noqa: F811
    sandbox.release(config())
    hold = {"metadata": {"finalizers": ["example.dev/hold"]}}
    sandbox.act("PATCH", "configmaps/settings", hold, "application/merge-patch+json")
    sandbox.cluster.delete(f"/api/v1/namespaces/{sandbox.name}")
    try:
        with pytest.raises(ClusterError, match=f"namespace {sandbox.name} is being deleted since"):
            sandbox.release(config())
    finally:
        sandbox.act("PATCH", "configmaps/settings", {"metadata": {"finalizers": None}}, "application/merge-patch+json")


def test_another_release_s_object_is_left_alone(sandbox):  # noqa: F811
    sandbox.release(config())
    other = Release(connect({}), ReleaseParams("other", sandbox.name, [config()]), silent).present()
    assert "belongs to another release" in failure_text(other)


def test_preflight_reports_everything_at_once(sandbox):  # noqa: F811
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


def test_preflight_does_not_count_what_an_update_already_has(sandbox):  # noqa: F811
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
