# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Which cluster is talked to, as whom, and what is said when it does not answer."""

from __future__ import annotations

import base64
import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils import _grpc_health
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ConfigError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._exec_credential import credential
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._explain import api_error
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._kubeconfig import Access, access
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def kubeconfig(context="one", server="https://one:6443", **user):
    return {
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": context, "user": context, "namespace": "here"}}],
        "clusters": [{"name": context, "cluster": {"server": server}}],
        "users": [{"name": context, "user": user}],
    }


def test_a_kubeconfig_given_as_content():
    found = access({"kubeconfig": kubeconfig(token="t")}, {})
    assert (found.server, found.token, found.namespace) == ("https://one:6443", "t", "here")


def test_files_merge_and_the_first_wins(tmp_path):
    for name, config in (
        ("a", kubeconfig(token="a")),
        ("b", kubeconfig(token="b")),
        ("c", kubeconfig("two", "https://two")),
    ):
        (tmp_path / name).write_text(yaml.safe_dump(config))
    environ = {"KUBECONFIG": ":".join(str(tmp_path / name) for name in "abc")}
    assert access({}, environ).token == "a"
    assert access({"context": "two"}, environ).server == "https://two"


def test_files_are_relative_to_their_kubeconfig(tmp_path):
    (tmp_path / "ca.pem").write_bytes(b"CA")
    config = kubeconfig()
    config["clusters"][0]["cluster"]["certificate-authority"] = "ca.pem"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    assert access({"kubeconfig": str(tmp_path / "config")}, {}).ca == b"CA"


def test_options_win_and_a_token_replaces_the_contexts_user():
    given = kubeconfig(**{"client-certificate-data": base64.b64encode(b"C").decode()})
    found = access({"kubeconfig": given, "api_key": "mine", "host": "https://other", "validate_certs": False}, {})
    assert (found.token, found.client_cert, found.server, found.verify) == ("mine", None, "https://other", False)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kubeconfig": "/nowhere"}, "kubeconfig /nowhere does not exist"),
        ({"kubeconfig": kubeconfig(), "context": "x"}, "has no context 'x'; it has one"),
        (
            {"kubeconfig": kubeconfig(**{"auth-provider": {"name": "gcp"}})},
            "uses auth-provider, which Kubernetes removed",
        ),
        ({"host": "one:6443"}, "host 'one:6443' is not a URL"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        access(options, {})


def test_secrets_are_not_in_the_representation():
    assert "hunter2" not in repr(Access("https://x", "y", token="hunter2", password="hunter2"))


def plugin(tmp_path, script, version="v1"):
    path = tmp_path / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"apiVersion": f"client.authentication.k8s.io/{version}", "command": str(path)}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_exec_plugin_gives_a_token(tmp_path, version):
    answer = json.dumps({"kind": "ExecCredential", "status": {"token": "t"}})
    assert credential(plugin(tmp_path, f"echo '{answer}'", version), "https://x", None).token == "t"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo no; exit 3", "failed with exit code 3"),
        ("echo no", "did not answer with an ExecCredential"),
    ],
)
def test_exec_plugin_that_fails_is_named(tmp_path, script, sentence):
    with pytest.raises(ConfigError, match=sentence):
        credential(plugin(tmp_path, script), "https://x", None)


def test_exec_plugin_of_another_protocol_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="v1alpha1"):
        credential(plugin(tmp_path, "", "v1alpha1"), "https://x", None)


def test_forbidden_is_one_sentence_with_a_way_out():
    message = 'configmaps "x" is forbidden: User "bob" cannot patch resource "configmaps" in API group "" '
    message += 'in the namespace "ns"'
    error = api_error("PATCH", "/x", 403, {"message": message}, Access("https://api", "kubeconfig"))
    assert error.message == "https://api: bob may not patch configmaps in namespace ns"
    assert "kubectl auth can-i patch configmaps -n ns --as bob" in error.way_out


def test_a_refusal_by_admission_is_not_taken_for_missing_rights():
    message = 'pods "x" is forbidden: exceeded quota: q'
    assert api_error("POST", "/x", 403, {"message": message}, Access("https://api", "k")).message == message


def test_a_conflict_names_managers_and_fields():
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl-edit" using v1', "field": ".data.a"}
    body = {
        "message": 'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.a',
        "details": {"causes": [cause]},
    }
    error = api_error("PATCH", "/x", 409, body, Access("https://api", "k"))
    assert error.message == "another manager owns fields we want to set: data.a by 'kubectl-edit'"
    assert "force_conflicts" in error.way_out


@pytest.fixture
def server():
    serving = health.HealthServicer()
    serving.set("ready", health_pb2.HealthCheckResponse.SERVING)
    serving.set("broken", health_pb2.HealthCheckResponse.NOT_SERVING)
    made = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(serving, made)
    port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    yield f"127.0.0.1:{port}"
    made.stop(None)


def test_grpc_health_tells_each_service(server):
    found = _grpc_health.check("pod", server, ["ready", "broken", "other"], timeout=5, deadline=time.monotonic())
    assert [item.status for item in found] == ["SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]
    assert found[0].target == "pod"
    assert found[0].latency_ms > 0


def test_grpc_health_of_nothing_is_unreachable():
    (found,) = _grpc_health.check("pod", "127.0.0.1:1", [""], timeout=2, deadline=time.monotonic())
    assert found.status == "UNREACHABLE"
    assert "UNAVAILABLE" in found.detail
