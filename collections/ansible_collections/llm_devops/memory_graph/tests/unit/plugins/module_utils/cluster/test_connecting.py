# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The connection to a cluster: its address, our credentials, and the errors when it does not answer."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ConfigError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster import _kubeconfig
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._error_messages import api_error
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._exec_credential import credential
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._identity import Identity
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._kubeconfig import (
    ClusterConnection,
    access,
)


def kubeconfig(context="one", server="https://one:6443", **user):
    return {
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": context, "user": context, "namespace": "here"}}],
        "clusters": [{"name": context, "cluster": {"server": server}}],
        "users": [{"name": context, "user": user}],
    }


def test_a_kubeconfig_given_as_content():
    result = access({"kubeconfig": kubeconfig(token="t")}, {})
    assert (result.server, result.token, result.namespace) == ("https://one:6443", "t", "here")


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
    config = kubeconfig(**{"client-certificate-data": base64.b64encode(b"C").decode()})
    result = access({"kubeconfig": config, "api_key": "mine", "host": "https://other", "validate_certs": False}, {})
    assert (result.token, result.client_cert, result.server, result.verify) == ("mine", None, "https://other", False)


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
        ({"kubeconfig": {**kubeconfig(), "users": {"a": "b"}}}, "users of option kubeconfig is not a list of entries"),
        ({"kubeconfig": {**kubeconfig(), "contexts": ["one"]}}, "contexts of option kubeconfig is not a list"),
        ({"kubeconfig": kubeconfig(**{"as-groups": ["dev"]})}, "groups are impersonated without a user"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        access(options, {})


def test_secrets_are_not_in_the_representation():
    assert "hunter2" not in repr(ClusterConnection("https://x", "y", token="hunter2", password="hunter2"))


def plugin(tmp_path, script, version="v1", **more):
    path = tmp_path / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    command = {"apiVersion": f"client.authentication.k8s.io/{version}", "command": str(path), **more}
    return ClusterConnection(
        "https://x", "a test", exec_plugin=command, ca=b"CA", tls_server_name="api", exec_config={"audience": 1}
    )


def issuing(version="v1", **status):
    kind = {"apiVersion": f"client.authentication.k8s.io/{version}", "kind": "ExecCredential"}
    return f"cat > /dev/null; echo '{json.dumps({**kind, 'status': status})}'"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_exec_plugin_gives_a_token(tmp_path, version):
    assert credential(plugin(tmp_path, issuing(version, token="t"), version)).token == "t"


def test_exec_plugin_is_told_about_the_cluster(tmp_path):
    script = f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info; {issuing(token="t")}'
    credential(plugin(tmp_path, script, provideClusterInfo=True))
    message = json.loads((tmp_path / "info").read_text())["spec"]["cluster"]
    ca = base64.b64encode(b"CA").decode()
    assert message == {"server": "https://x", "certificate-authority-data": ca, "tls-server-name": "api",
                       "config": {"audience": 1}}  # fmt: skip


@pytest.mark.parametrize(
    ("script", "more", "sentence"),
    [
        ("echo no >&2; exit 3", {}, "failed with exit code 3: no"),
        ("echo no", {}, "did not answer with an ExecCredential in JSON"),
        (issuing("v1beta1", token="t"), {}, "answered with ExecCredential of client.authentication.k8s.io/v1beta1"),
        (issuing(clientCertificateData="C"), {}, "neither a token nor a client certificate with its key"),
        (issuing(token="t", expirationTimestamp="soon"), {}, "'soon', which is no time"),
        ("", {"command": "/nowhere/plugin", "installHint": "get\nit"}, "/nowhere/plugin is not installed — get it"),
        ("", {"command": "/"}, "cannot be run: Permission denied"),
        ("", {"interactiveMode": "Always"}, "must be run interactively"),
    ],
)
def test_exec_plugin_that_fails_is_named(tmp_path, script, more, sentence):
    with pytest.raises(ConfigError, match=sentence):
        credential(plugin(tmp_path, script, **more))


def test_exec_plugin_that_hangs_is_ended(tmp_path):
    with pytest.raises(ConfigError, match=r"gave no answer in 0\.1 s — log in with it once by hand"):
        credential(plugin(tmp_path, "exec sleep 60"), timeout=0.1)


def test_exec_plugin_of_another_protocol_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="v1alpha1"):
        credential(plugin(tmp_path, "", "v1alpha1"))


def test_an_issued_credential_that_ran_out_is_asked_for_again(tmp_path):
    count = f"echo >> {tmp_path}/runs"
    access = plugin(tmp_path, f"{count}; {issuing(token='t', expirationTimestamp='2020-01-01T00:00:00Z')}")
    identity = Identity(access)
    identity.headers()
    assert len((tmp_path / "runs").read_text()) == 2


def test_many_refused_requests_run_the_plugin_once(tmp_path):
    identity = Identity(plugin(tmp_path, f"echo >> {tmp_path}/runs; {issuing(token='t')}"))
    _headers, refused = identity.headers()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _number: identity.renew(refused), range(8)))
    assert len((tmp_path / "runs").read_text()) == 2


def test_a_token_file_is_read_again_but_not_for_every_request(tmp_path):
    path, now = tmp_path / "token", [0.0]
    path.write_text("one\n")
    identity = Identity(ClusterConnection("https://x", "a test", token_file=path), clock=lambda: now[0])
    path.write_text("two\n")
    assert identity.headers()[0] == [("Authorization", "Bearer one")]
    now[0] = 11.0
    assert identity.headers()[0] == [("Authorization", "Bearer two")]
    path.unlink()
    now[0] = 22.0
    with pytest.raises(ConfigError, match=f"token file {path} cannot be read: No such file"):
        identity.headers()


def test_a_fixed_token_cannot_be_renewed():
    identity = Identity(ClusterConnection("https://x", "a test", token="t\n"))
    assert identity.headers()[0] == [("Authorization", "Bearer t")]
    assert not identity.renew(0)


def test_impersonation_of_the_kubeconfig_is_not_forgotten():
    user = {"token": "t", "as": "jane", "as-groups": ["dev", "ops"], "as-uid": "7", "as-user-extra": {"a/b": ["c"]}}
    result = access({"kubeconfig": kubeconfig(**user)}, {})
    assert result.headers == (
        ("Impersonate-User", "jane"), ("Impersonate-Group", "dev"), ("Impersonate-Group", "ops"),
        ("Impersonate-Uid", "7"), ("Impersonate-Extra-a%2Fb", "c"),
    )  # fmt: skip
    options = {"kubeconfig": kubeconfig(**user), "impersonate_user": "joe", "impersonate_groups": ["x"]}
    assert access(options, {}).headers == (("Impersonate-User", "joe"), ("Impersonate-Group", "x"))


def test_variables_awx_sets_for_empty_fields_count_as_not_given():
    empty = {"host": "", "api_key": "", "ca_cert": "", "kubeconfig": kubeconfig(token="t")}
    result = access({**empty, "validate_certs": False}, {})
    assert (result.server, result.token, result.verify) == ("https://one:6443", "t", False)


def test_exec_plugin_beside_its_kubeconfig(tmp_path):
    config = kubeconfig(exec={"command": "./bin/plugin"})
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    result = access({"kubeconfig": str(tmp_path / "config")}, {})
    assert result.exec_plugin["command"] == str(tmp_path / "bin/plugin")


def in_cluster(folder, monkeypatch):
    for name, text in (("token", "sa"), ("namespace", "here\n"), ("ca.crt", "CA")):
        (folder / name).write_text(text)
    monkeypatch.setattr(_kubeconfig, "SERVICE_ACCOUNT", folder)
    return {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "KUBECONFIG": "/nowhere"}


def test_in_a_pod_its_service_account_is_used(tmp_path, monkeypatch):
    result = access({}, in_cluster(tmp_path, monkeypatch))
    assert (result.server, result.namespace, result.ca) == ("https://[fd00::1]:443", "here", b"CA")
    assert result.token_file == tmp_path / "token"


def test_in_a_pod_without_the_ca_the_file_is_named(tmp_path, monkeypatch):
    environ = in_cluster(tmp_path, monkeypatch)
    (tmp_path / "ca.crt").unlink()
    with pytest.raises(ConfigError, match=r"ca\.crt of the pod's ServiceAccount cannot be read"):
        access({}, environ)


def test_forbidden_is_one_sentence_with_a_way_out():
    message = 'configmaps "x" is forbidden: User "bob" cannot patch resource "configmaps" in API group "" '
    message += 'in the namespace "ns"'
    error = api_error("PATCH", "/x", 403, {"message": message}, ClusterConnection("https://api", "kubeconfig"))
    assert error.message == "https://api: bob may not patch configmaps in namespace ns"
    assert "kubectl auth can-i patch configmaps -n ns --as bob" in error.way_out


def test_a_refusal_by_admission_is_not_taken_for_missing_rights():
    message = 'pods "x" is forbidden: exceeded quota: q'
    assert api_error("POST", "/x", 403, {"message": message}, ClusterConnection("https://api", "k")).message == message


def conflict(*owned):
    """The answer to an apply that meets other managers' fields, worded as by apimachinery (managedfields/conflict.go):
    of one field otherwise than of several."""
    causes = [{"reason": "FieldManagerConflict", "message": f'conflict with "{manager}" using v1', "field": field}
              for manager, field in owned]  # fmt: skip
    message = " ".join(f'conflicts with "{manager}" using v1:\n- {field}' for manager, field in owned)
    if len(owned) == 1:
        message = f"{causes[0]['message']}: {owned[0][1]}"
    number = f"{len(owned)} conflict{'s' if len(owned) > 1 else ''}"
    return {"reason": "Conflict", "message": f"Apply failed with {number}: {message}", "details": {"causes": causes}}


@pytest.mark.parametrize(
    ("owned", "expected"),
    [
        ([("kubectl-edit", ".data.a")], "data.a by 'kubectl-edit'"),
        ([("kubectl-edit", ".data.b"), ("kubectl-edit", ".data.a")], "data.a, data.b by 'kubectl-edit'"),
        (
            [("kubectl-edit", ".data.a"), ("flux", ".metadata.labels.app"), ("flux", ".data.b")],
            "data.b, metadata.labels.app by 'flux'; data.a by 'kubectl-edit'",
        ),
    ],
)
def test_a_conflict_names_managers_and_fields_and_the_way_out(owned, expected):
    error = api_error("PATCH", "/x", 409, conflict(*owned), ClusterConnection("https://api", "k"))
    assert error.message == f"another manager owns fields we want to set: {expected}"
    assert error.way_out == "leave these fields out of the manifest, or take them over with force_conflicts: true"


@pytest.mark.parametrize("body", [{}, {"details": None}, {"details": {"causes": [None, {"message": 7}]}}])
def test_a_409_of_another_kind_is_told_in_its_own_words(body):
    text = "the object has been modified"
    error = api_error("PATCH", "/x", 409, {"message": text, **body}, ClusterConnection("https://api", "k"))
    assert (error.message, error.way_out) == (text, "")
