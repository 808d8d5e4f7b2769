# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to an API server that is away, silent, or none: how long they are tried again, and their errors."""

from __future__ import annotations

import re
import threading

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, ClusterError, Unreachable
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster import _transport
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import Cluster, connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._kubeconfig import access
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._retry import RetryWindow
from ansible_collections.llm_devops.memory_graph.tests.integration.fault_proxy import InjectedFault


def impatient(proxy, seconds):
    return Cluster(access(proxy.options(), {}), retry_window=RetryWindow(seconds))


def test_a_server_that_stays_away_is_given_up(proxy):
    cluster = impatient(proxy, 4)
    cluster.request("GET", "/version")
    proxy.injected = InjectedFault("drop", times=10**6)
    with pytest.raises(Unreachable, match=r"the connection was dropped \(tried \d+ times in \d+ s\)"):
        cluster.request("GET", "/version")
    tries = proxy.hits
    for _object in range(100):  # whoever comes after that is not made to wait as long again
        with pytest.raises(Unreachable, match="is away"):
            cluster.request("GET", "/version")
    assert proxy.hits == tries


def test_the_wait_for_a_server_is_told(proxy):
    cluster = connect(proxy.options())
    cluster.request("GET", "/version")
    notices = []
    cluster.on_notice = notices.append
    proxy.injected = InjectedFault("status", 503, {"Retry-After": "4"}, times=2)
    cluster.request("GET", "/version")
    assert notices == [f"{proxy.url} does not answer (HTTP 503); it is waited for, 60 s at most"]
    (warning,) = cluster.warnings
    assert re.fullmatch(
        r"waited \d+ s for it \(HTTP 503\); 2 requests were sent again", warning.removeprefix(f"{proxy.url}: ")
    )


def test_an_aggregated_api_that_is_away_does_not_cost_a_minute(proxy):
    cluster = connect(proxy.options())
    metrics = "/apis/metrics.k8s.io/v1beta1"
    proxy.injected = InjectedFault("status", 503, times=10**6, matches=lambda _verb, path: path.startswith(metrics))
    with pytest.raises(ApiError, match=r"injected \(tried 4 times in \d+ s\) — kubectl get apiservices tells"):
        cluster.request("GET", metrics)


def test_a_post_is_repeated_only_when_that_is_safe(sandbox, proxy):
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, sandbox.namespace)
    cluster = connect(proxy.options())
    proxy.injected = InjectedFault("lose", matches=lambda verb, _path: verb == "POST")
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    answer = cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", None, review)
    assert answer["status"]["allowed"]
    with pytest.raises(Unreachable, match="and the request may have been carried out"):
        cluster.request("POST", sandbox.path("configmaps"), None, {"metadata": {"generateName": "x-"}})
    assert len([name for name in sandbox.names("configmaps") if name.startswith("x-")]) == 1


def test_a_login_page_is_no_api_server(proxy):
    proxy.injected = InjectedFault("status", 302, {"Location": "https://login.example/"})
    with pytest.raises(Unreachable, match=r"a redirect to https://login\.example/ \(HTTP 302\)"):
        connect(proxy.options()).request("GET", "/version")


def test_a_wrong_address_fails_at_once():
    cluster = connect({"host": "https://127.0.0.1:1", "api_key": "x"})
    with pytest.raises(ClusterError, match=r"connection refused — is the cluster running"):
        cluster.request("GET", "/version")
    assert cluster.api_calls == 1


def test_silence_is_not_waited_for_without_end(proxy, monkeypatch):
    monkeypatch.setattr(_transport, "READ_TIMEOUT_S", 0.2)
    proxy.injected = InjectedFault("slow")
    cluster = connect(proxy.options())
    with pytest.raises(Unreachable, match="no answer in time"):
        cluster.request("GET", "/version")


def test_many_threads_see_one_outage(proxy):
    cluster = connect(proxy.options())
    cluster.request("GET", "/version")
    proxy.injected = InjectedFault("status", 503, {"Retry-After": "4"}, times=8)
    together = threading.Barrier(8)

    def ask():
        together.wait()
        cluster.request("GET", "/version")

    threads = [threading.Thread(target=ask) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cluster.warnings) == 1
