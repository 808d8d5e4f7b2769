# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Every way to prove who we are, against the real API server of KUBECONFIG over TLS."""

from __future__ import annotations

import base64
import json
import os
import shlex
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import (
    ApiError,
    ClusterError,
    ConfigError,
    Unreachable,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster import _identity
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.tests.integration.certificates import (
    LoopbackAuthority,
    signing_request,
)
from ansible_collections.llm_devops.memory_graph.tests.integration.pod_python import run_in_pod
from ansible_collections.llm_devops.memory_graph.tests.integration.whoami import account, user, whoami

COLLECTIONS = Path(__file__).resolve().parents[5]
pytestmark = pytest.mark.usefixtures("_no_proxies")


@pytest.fixture(scope="module")
def certificate(admin):
    """Key and certificate of the user jane, issued by the cluster's own CA."""
    key, request = signing_request("jane", "testers")
    name, path = f"jane-{uuid.uuid4().hex[:8]}", "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    spec = {"request": base64.b64encode(request).decode(), "usages": ["client auth"], "expirationSeconds": 3600,
            "signerName": "kubernetes.io/kube-apiserver-client"}  # fmt: skip
    csr = admin.request("POST", path, None, {"metadata": {"name": name}, "spec": spec})
    yes = {"type": "Approved", "status": "True", "reason": "Test", "message": "approved by a test"}
    admin.request("PUT", f"{path}/{name}/approval", None, {**csr, "status": {"conditions": [yes]}})
    issued = None
    deadline = time.monotonic() + 60
    while not issued and time.monotonic() < deadline:
        issued = admin.request("GET", f"{path}/{name}")["status"].get("certificate")
        time.sleep(0 if issued else 0.1)
    admin.delete(f"{path}/{name}")
    assert issued, "the cluster did not sign the certificate in time"
    return key, base64.b64decode(issued)


def encoded(data):
    return base64.b64encode(data).decode()


def test_kubeconfig_as_file_files_and_content(config, token, namespace, tmp_path, monkeypatch):
    first, second = config(name="first", token=token("one")), config(name="second", token=token("two"))
    for name, content in (("a", first), ("b", second)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    assert user({"kubeconfig": first}) == account(namespace)
    assert user({"kubeconfig": str(tmp_path / "b")}) == account(namespace, "two")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert user({}) == account(namespace)
    assert user({"context": "second"}) == account(namespace, "two")
    with pytest.raises(ConfigError, match="has no context 'third'; it has first, second"):
        connect({"context": "third"})


def test_a_token_file_that_rotates_is_followed(config, token, namespace, tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text(token("one"))
    cluster = connect({"kubeconfig": config(tokenFile=str(file))})
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    cluster.request("GET", path)
    file.write_text(token("two"))
    monkeypatch.setattr(_identity, "TOKEN_FILE_TTL_S", 0.0)
    with pytest.raises(ApiError, match=f"{account(namespace, 'two')} may not list configmaps"):
        cluster.request("GET", path)


def test_a_refused_token_file_is_read_again_at_once(config, token, namespace, tmp_path):
    file = tmp_path / "token"
    file.write_text("stale")
    cluster = connect({"kubeconfig": config(tokenFile=str(file))})
    file.write_text(token("one"))
    cluster.request("GET", f"/api/v1/namespaces/{namespace}/configmaps")
    assert cluster.api_calls == 2


def test_client_certificate_as_data_and_as_files(config, certificate, tmp_path):
    key, cert = certificate
    data = {"client-certificate-data": encoded(cert), "client-key-data": encoded(key)}
    userinfo = whoami({"kubeconfig": config(**data)})
    assert (userinfo["username"], "testers" in userinfo["groups"]) == ("jane", True)
    for name, content in (("jane.crt", cert), ("jane.key", key)):
        (tmp_path / name).write_bytes(content)
    files = {"client-certificate": "jane.crt", "client-key": "jane.key"}
    (tmp_path / "config").write_text(yaml.safe_dump(config(**files)))
    assert user({"kubeconfig": str(tmp_path / "config")}) == "jane"
    with pytest.raises(ApiError, match="jane may not list secrets in namespace kube-system — have a Role granted"):
        connect({"kubeconfig": config(**data)}).request("GET", "/api/v1/namespaces/kube-system/secrets")


def test_client_certificate_by_option(admin, certificate, ca_file, tmp_path):
    for name, content in zip(("key", "cert"), certificate, strict=True):
        (tmp_path / name).write_bytes(content)
    options = {"client_cert": str(tmp_path / "cert"), "client_key": str(tmp_path / "key"), "ca_cert": str(ca_file)}
    assert user({"host": admin.access.server, **options}) == "jane"


def test_a_client_certificate_that_cannot_be_used_is_told(config, certificate):
    key, cert = certificate
    other, _request = signing_request("joe", "testers")
    with pytest.raises(ConfigError, match="its key belongs to another certificate"):
        user({"kubeconfig": config(**{"client-certificate-data": encoded(cert), "client-key-data": encoded(other)})})
    with pytest.raises(ConfigError, match="has no key — give it with client_key"):
        user({"kubeconfig": config(**{"client-certificate-data": encoded(cert)})})
    locked = key.replace(b"BEGIN PRIVATE", b"BEGIN ENCRYPTED PRIVATE").replace(b"END PRIVATE", b"END ENCRYPTED PRIVATE")
    with pytest.raises(ConfigError, match="is encrypted"):
        user({"kubeconfig": config(**{"client-certificate-data": encoded(cert), "client-key-data": encoded(locked)})})


def plugin(folder, version="v1", **files):
    """An exec plugin that answers with the status in the file ``status`` and counts its runs."""
    path = folder / "login"
    info = json.dumps({"apiVersion": f"client.authentication.k8s.io/{version}", "kind": "ExecCredential"})
    quoted_folder = shlex.quote(str(folder))
    path.write_text(f"#!/bin/sh\necho >> {quoted_folder}/runs\nprintf '%s' {shlex.quote(info[:-1] + ', ' + chr(34))}\n"
                    f"printf 'status\": '; cat {quoted_folder}/status; echo '}}'\n")  # fmt: skip
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (folder / "status").write_text(json.dumps(files))
    return {"apiVersion": f"client.authentication.k8s.io/{version}", "command": str(path), "interactiveMode": "Never"}


def runs(folder):
    return len((folder / "runs").read_text())


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_exec_plugin_with_a_token(config, token, namespace, tmp_path, version):
    command = plugin(tmp_path, version, token=token())
    assert user({"kubeconfig": config(exec=command)}) == account(namespace)


def test_exec_plugin_with_a_client_certificate_that_is_renewed(config, token, certificate, tmp_path):
    key, cert = (part.decode() for part in certificate)
    stale = LoopbackAuthority().issue_client("jane")
    command = plugin(tmp_path, clientCertificateData=stale[1].decode(), clientKeyData=stale[0].decode())
    cluster = connect({"kubeconfig": config(exec=command)})
    (tmp_path / "status").write_text(json.dumps({"clientCertificateData": cert, "clientKeyData": key}))
    with pytest.raises(ApiError, match="jane may not list nodes"):  # renewed after a 401: jane is known, and may not
        cluster.request("GET", "/api/v1/nodes")
    assert runs(tmp_path) == 2


def test_an_exec_plugins_refused_token_is_renewed(config, token, namespace, tmp_path):
    cluster = connect({"kubeconfig": config(exec=plugin(tmp_path, token="stale"))})
    (tmp_path / "status").write_text(json.dumps({"token": token()}))
    cluster.request("GET", f"/api/v1/namespaces/{namespace}/configmaps")
    assert runs(tmp_path) == 2
    (tmp_path / "status").write_text(json.dumps({"token": "stale"}))
    with pytest.raises(ApiError, match=r"does not accept the credentials of kubeconfig option kubeconfig.* \(401\)"):
        user({"kubeconfig": config(exec=plugin(tmp_path, token="stale"))})


def test_an_exec_plugins_token_is_renewed_when_it_expires(config, token, namespace, tmp_path):
    command = plugin(tmp_path, token="stale", expirationTimestamp="2020-01-01T00:00:00Z")
    cluster = connect({"kubeconfig": config(exec=command)})
    later = {"token": token(), "expirationTimestamp": "2999-01-01T00:00:00Z"}
    (tmp_path / "status").write_text(json.dumps(later))
    for _twice in range(2):
        cluster.request("GET", f"/api/v1/namespaces/{namespace}/configmaps")
    assert (runs(tmp_path), cluster.api_calls) == (2, 2)


def test_username_and_password_are_gone(config):
    basic = {"username": "jane", "password": "hunter2"}
    with pytest.raises(ApiError, match=r"Kubernetes takes no username and password since 1\.19") as caught:
        connect({"kubeconfig": config(**basic)}).request("GET", "/api/v1/nodes")
    assert "hunter2" not in str(caught.value)


def test_nobody_is_told_so(config):
    with pytest.raises(ApiError, match=r"takes us for nobody \(system:anonymous\), who may not list nodes"):
        connect({"kubeconfig": config()}).request("GET", "/api/v1/nodes")


def test_impersonation(admin, config, token, namespace):
    userinfo = whoami({"impersonate_user": "joe", "impersonate_groups": ["dev", "ops"]})
    assert userinfo["username"] == "joe"
    assert {"dev", "ops"} <= set(userinfo["groups"])
    data = {
        "client-certificate-data": encoded(admin.access.client_cert),
        "client-key-data": encoded(admin.access.client_key),
    }
    extra = {"as": "joe", "as-groups": ["dev"], "as-user-extra": {"reason": ["test"]}}
    userinfo = whoami({"kubeconfig": config(**data, **extra)})
    assert (userinfo["username"], userinfo["extra"]) == ("joe", {"reason": ["test"]})
    # since 1.36 the right that is missing is one to act for others on this resource
    with pytest.raises(ApiError, match=rf"{account(namespace)} may not impersonate(-on:user-info:create \w+| users)"):
        user({"kubeconfig": config(token=token()), "impersonate_user": "joe"})


def test_another_name_than_the_address(config, token, namespace):
    inside = {"tls-server-name": "kubernetes.default.svc"}
    assert user({"kubeconfig": config(cluster=inside, token=token())}) == account(namespace)
    with pytest.raises(ClusterError, match=r"Hostname mismatch.*wrong\.example.* — .*set tls-server-name"):
        user({"kubeconfig": config(cluster={"tls-server-name": "wrong.example"}, token=token())})


def test_the_certificate_of_the_api_server(admin, token, namespace, ca_file, tmp_path, monkeypatch):
    bearer = {"host": admin.access.server, "api_key": token()}
    assert user({**bearer, "ca_cert": str(ca_file)}) == account(namespace)
    assert user({**bearer, "validate_certs": False}) == account(namespace)
    with pytest.raises(ClusterError, match=r"a certificate we cannot verify: .* — give the cluster's CA \(ca_cert"):
        user(bearer)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))  # the bundle an execution environment brings
    assert user(bearer) == account(namespace)
    (tmp_path / "other.pem").write_bytes(LoopbackAuthority().certificate)
    with pytest.raises(ClusterError, match="another CA than the one of option host signed it"):
        user({**bearer, "ca_cert": str(tmp_path / "other.pem")})
    (tmp_path / "other.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="the CA of option host is no PEM certificate"):
        user({**bearer, "ca_cert": str(tmp_path / "other.pem")})
    with pytest.raises(ConfigError, match="ca_cert /nowhere cannot be read: No such file"):
        user({**bearer, "ca_cert": "/nowhere"})
    # Either is told, by what arrives first: the server's 400, or the end of the connection.
    with pytest.raises((ApiError, Unreachable), match=r" wants HTTPS( —|,) write the host with https://"):
        user({**bearer, "host": admin.access.server.replace("https", "http")})


def ansible(folder, arguments, **environ):
    """Run the release module as a job of AWX does: credentials from the environment alone, no kubeconfig."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "K8S_", "KUBE"))}
    inherited |= {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_HOME": str(folder), "HOME": str(folder)}
    command = [str(Path(sys.executable).parent / "ansible"), "localhost", "-c", "local", "-e",
               f"ansible_python_interpreter={sys.executable}", "-m", "llm_devops.memory_graph.release",
               "-a", json.dumps(arguments)]  # fmt: skip
    done = subprocess.run(command, env=inherited | environ, text=True, capture_output=True, check=False, timeout=100)
    return done.returncode, done.stdout + done.stderr


def bearer_token_credential(host, bearer, ca=None):
    """Return the environment that AWX's credential "OpenShift or Kubernetes API Bearer Token" injects."""
    trust = {"K8S_AUTH_VERIFY_SSL": "True", "K8S_AUTH_SSL_CA_CERT": str(ca)} if ca else {"K8S_AUTH_VERIFY_SSL": "False"}
    return {"K8S_AUTH_HOST": host, "K8S_AUTH_API_KEY": bearer, **trust}


@pytest.mark.parametrize("name", ["verified", "unverified"])
def test_a_module_with_the_credential_awx_injects(admin, token, namespace, ca_file, tmp_path, name):
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"by": "awx"}}
    injected = bearer_token_credential(admin.access.server, token(), ca_file if name == "verified" else None)
    code, output = ansible(tmp_path, {"name": name, "namespace": namespace, "objects": [item]}, **injected)
    assert code == 0, output
    assert injected["K8S_AUTH_API_KEY"] not in output
    assert admin.find(f"/api/v1/namespaces/{namespace}/configmaps/{name}")["data"] == item["data"]


def test_a_module_with_a_stale_credential_says_so(admin, namespace, ca_file, tmp_path):
    injected = bearer_token_credential(admin.access.server, "stale-token-of-awx", ca_file)
    code, output = ansible(tmp_path, {"name": "awx", "namespace": namespace, "objects": []}, **injected)
    assert code != 0
    assert "does not accept the credentials of option host (401)" in output
    assert "stale-token-of-awx" not in output


@pytest.mark.containers
def test_in_a_pod_its_service_account_is_used(admin, namespace):
    script = """
        from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
        cluster = connect({})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = cluster.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", None, body)
        namespace = cluster.access.namespace
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "from-a-pod"}}
        cluster.apply(f"/api/v1/namespaces/{namespace}/configmaps/from-a-pod", manifest)
        print(answer["status"]["userInfo"]["username"], cluster.access.source)
    """
    output = run_in_pod(admin, namespace, "one", script)
    assert output.strip() == f"{account(namespace)} the pod's ServiceAccount"
    assert admin.find(f"/api/v1/namespaces/{namespace}/configmaps/from-a-pod")
