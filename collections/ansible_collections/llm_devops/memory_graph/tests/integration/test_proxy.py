# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Proxies before the real API server of KUBECONFIG: which is used, and what is said when it does not work."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError, ConfigError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._port_forward import PortForward
from ansible_collections.llm_devops.memory_graph.tests.integration.certificates import LoopbackAuthority
from ansible_collections.llm_devops.memory_graph.tests.integration.connect_proxy import ConnectProxy
from ansible_collections.llm_devops.memory_graph.tests.integration.whoami import account, user

NAME_INSIDE = "https://kubernetes.default.svc"  # a name of every API server's certificate, known to no resolver here
pytestmark = pytest.mark.usefixtures("_no_proxies")


def address(admin):
    url = urlsplit(admin.access.server)
    return url.hostname, url.port


def test_a_proxy_by_option_kubeconfig_and_environment(admin, config, token, namespace, monkeypatch):
    bearer = token()
    inside = {"server": NAME_INSIDE}
    with ConnectProxy(*address(admin)) as proxy:
        url = f"http://{proxy.host}"
        assert user({"kubeconfig": config(cluster=inside, token=bearer), "proxy": url}) == account(namespace)
        assert user({"kubeconfig": config(cluster={**inside, "proxy-url": url}, token=bearer)}) == account(namespace)
        assert user({"kubeconfig": config(token=bearer), "proxy": url}) == account(namespace)  # loopback, but named
        monkeypatch.setenv("HTTPS_PROXY", url)
        assert user({"kubeconfig": config(cluster=inside, token=bearer)}) == account(namespace)
        seen = len(proxy.targets)
        assert user({"kubeconfig": config(token=bearer)}) == account(namespace)  # loopback never
        monkeypatch.setenv("NO_PROXY", ".default.svc")
        with pytest.raises(ClusterError, match=r"the host of https://kubernetes\.default\.svc has no address"):
            user({"kubeconfig": config(cluster=inside, token=bearer)})
        assert len(proxy.targets) == seen == 4
        assert set(proxy.targets) == {"kubernetes.default.svc:443", urlsplit(admin.access.server).netloc}


def test_a_proxy_that_wants_credentials(admin, config, token, namespace):
    options = {"kubeconfig": config(cluster={"server": NAME_INSIDE}, token=token())}
    with ConnectProxy(*address(admin), credentials="me:p@ss") as proxy:
        assert user({**options, "proxy": f"http://me:p%40ss@{proxy.host}"}) == account(namespace)
        with pytest.raises(ClusterError, match=f"proxy http://{proxy.host} wants other credentials") as caught:
            user({**options, "proxy": f"http://me:wrong@{proxy.host}"})
        assert "wrong" not in str(caught.value)


def test_a_proxy_that_refuses_and_one_that_is_not_there(admin, config, token):
    options = {"kubeconfig": config(cluster={"server": NAME_INSIDE}, token=token())}
    with (
        ConnectProxy(*address(admin), status="403 Forbidden") as proxy,
        pytest.raises(ClusterError, match=f"proxy http://{proxy.host} does not let us through.*403 Forbidden"),
    ):
        user({**options, "proxy": f"http://{proxy.host}"})
    with pytest.raises(ClusterError, match=r"cannot reach the proxy http://127\.0\.0\.1:1: connection refused"):
        user({**options, "proxy": "http://127.0.0.1:1"})
    with pytest.raises(ConfigError, match="is a SOCKS proxy, which is not supported"):
        user({**options, "proxy": "socks5://127.0.0.1:1080"})


def test_a_proxy_that_speaks_tls(admin, config, token, namespace, tmp_path, monkeypatch):
    authority = LoopbackAuthority()
    (tmp_path / "proxy-ca.pem").write_bytes(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "proxy-ca.pem"))
    with ConnectProxy(*address(admin), chain=authority.chain(tmp_path)) as proxy:
        options = {"kubeconfig": config(cluster={"server": NAME_INSIDE}, token=token())}
        assert user({**options, "proxy": f"https://{proxy.host}"}) == account(namespace)


@pytest.mark.containers
def test_port_forward_takes_the_same_way(admin):
    """CoreDNS is on every cluster and serves its health on 8080."""
    pods = list(admin.list("/api/v1/namespaces/kube-system/pods", "k8s-app=kube-dns", "status.phase=Running"))
    with ConnectProxy(*address(admin), credentials="me:p@ss") as proxy:
        cluster = connect({"proxy": f"http://me:p%40ss@{proxy.host}"})
        with PortForward(cluster, "kube-system", pods[0]["metadata"]["name"], 8080) as local:
            connection = http.client.HTTPConnection(local, timeout=30)
            connection.request("GET", "/health")
            assert connection.getresponse().status == 200
        assert len(proxy.targets) == 1
