# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""API servers that do not answer, or are none."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError, Unreachable
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster import _transport
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.tests.integration.fault_proxy import InjectedFault
from ansible_collections.llm_devops.memory_graph.tests.integration.test_robust import (  # noqa: F401  # pylint: disable=unused-import
    admin,
    proxy,
)


def test_a_login_page_is_no_api_server(proxy):  # noqa: F811
    proxy.injected = InjectedFault("status", 302, {"Location": "https://login.example/"})
    with pytest.raises(Unreachable, match=r"a redirect to https://login\.example/ \(HTTP 302\)"):
        connect(proxy.options()).request("GET", "/version")


def test_a_wrong_address_fails_at_once():
    cluster = connect({"host": "https://127.0.0.1:1", "api_key": "x"})
    with pytest.raises(ClusterError, match=r"connection refused — is the cluster running"):
        cluster.request("GET", "/version")
    assert cluster.api_calls == 1


def test_silence_is_not_waited_for_without_end(proxy, monkeypatch):  # noqa: F811
    monkeypatch.setattr(_transport, "READ_TIMEOUT_S", 0.2)
    proxy.injected = InjectedFault("slow")
    cluster = connect(proxy.options())
    with pytest.raises(Unreachable, match="no answer in time"):
        cluster.request("GET", "/version")


def test_many_threads_see_one_outage(proxy):  # noqa: F811
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
