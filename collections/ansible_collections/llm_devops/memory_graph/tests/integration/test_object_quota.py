# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A quota that each object fits into and all of them together do not."""

from __future__ import annotations

import time

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import failure_text


def test_the_sum_is_refused_before_the_first_write(sandbox):
    sandbox.release(sandbox.config("first"))
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"count/configmaps": "4"}}}
    sandbox.cluster.request("POST", sandbox.path("resourcequotas"), None, quota)
    limit = time.monotonic() + 60
    while not (sandbox.get("resourcequotas/team").get("status") or {}).get("used"):
        assert time.monotonic() < limit, "the quota was not counted"
    used = int(sandbox.get("resourcequotas/team")["status"]["used"]["count/configmaps"])
    names = [f"new-{number}" for number in range(4 - used + 1)]
    outcome = sandbox.release(sandbox.config("first"), *(sandbox.config(name) for name in names))
    text = failure_text(outcome)
    assert f"the release brings {len(names)} of count/configmaps, ResourceQuota 'team'" in text
    assert text.endswith("Nothing was written.")
    assert not [name for name in sandbox.names("configmaps") if name.startswith("new-")]
    assert not sandbox.release(sandbox.config("first"), *(sandbox.config(name) for name in names[:-1])).failures


def test_a_quota_of_the_release_s_own_leaves_no_namespace(sandbox):
    """Without the sum, the quota would refuse the second Service after the first was written."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
             "spec": {"hard": {"count/services": "1"}}}  # fmt: skip
    services = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}
        for name in ("one", "two")
    ]
    text = failure_text(sandbox.release(quota, *services))
    assert "the release brings 2 of count/services, ResourceQuota 'team'" in text
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None
    assert not sandbox.release(quota, services[0]).failures
