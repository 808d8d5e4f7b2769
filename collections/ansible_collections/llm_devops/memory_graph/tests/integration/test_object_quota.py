# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A quota that each object fits into and all of them together do not."""

from __future__ import annotations

import time

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._outcome import failure_text


def test_the_sum_is_refused_before_the_first_write(place):
    place.release(place.config("first"))
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"count/configmaps": "4"}}}
    place.cluster.request("POST", place.path("resourcequotas"), None, quota)
    limit = time.monotonic() + 60
    while not (place.get("resourcequotas/team").get("status") or {}).get("used"):
        assert time.monotonic() < limit, "the quota was not counted"
    used = int(place.get("resourcequotas/team")["status"]["used"]["count/configmaps"])
    names = [f"new-{number}" for number in range(4 - used + 1)]
    outcome = place.release(place.config("first"), *(place.config(name) for name in names))
    text = failure_text(outcome)
    assert f"the release brings {len(names)} of count/configmaps, ResourceQuota 'team'" in text
    assert text.endswith("Nothing was written.")
    assert not [name for name in place.names("configmaps") if name.startswith("new-")]
    assert not place.release(place.config("first"), *(place.config(name) for name in names[:-1])).failures
