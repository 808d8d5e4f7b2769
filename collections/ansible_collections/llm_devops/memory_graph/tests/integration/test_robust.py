# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Releases while the API server throttles, fails or drops connections, and while finalizers hold objects."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.tests.integration.fault_proxy import InjectedFault
from ansible_collections.llm_devops.memory_graph.tests.integration.sandbox import pause_image

FINALIZER = "example.com/keep"


def configs(count, text="1"):
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"settings-{number}"}, "data": {"text": text}}
        for number in range(count)
    ]


def secrets(count):
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"keys-{number}"}, "stringData": {"key": "value"}}
        for number in range(count)
    ]


def deployment(name="demo", image="nowhere.invalid/none:1", replicas=0):
    labels = {"app": name}
    pod = {"terminationGracePeriodSeconds": 0,
           "containers": [{"name": "main", "image": image, "imagePullPolicy": "Never"}]}  # fmt: skip
    spec = {"replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod}}  # fmt: skip
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def running(cluster):
    """Return a Deployment whose pod starts: the pause image is on every node."""
    return deployment(image=pause_image(cluster), replicas=1)


def fifty():
    return [*configs(30), *secrets(15), *(deployment(f"demo-{number}") for number in range(5))]


def members(sandbox):
    """Return the ConfigMaps with the label of a release."""
    return list(sandbox.cluster.list(sandbox.path("configmaps"), "applyset.kubernetes.io/part-of"))


def assert_unchanged(sandbox, cluster, objects):
    """Assert that a run through ``cluster`` finds nothing to do."""
    again = sandbox.release(*objects, cluster=cluster)
    assert not again.failures
    assert not again.differs
    assert not again.written


def is_sampled(_verb, path):
    return "/namespaces/release-test-" in path and "-1" in path.rpartition("/")[2]


SCENARIOS = {
    "throttled": InjectedFault("status", 429, {"Retry-After": "1"}, matches=is_sampled),
    "internal error": InjectedFault("status", 500, times=2),
    "bad gateway": InjectedFault("status", 502, times=2),
    "unavailable": InjectedFault("status", 503, times=2),
    "gateway timeout": InjectedFault("status", 504),
    "etcd without a leader": InjectedFault("status", 500, message="etcdserver: leader changed", times=5,
                                           matches=lambda _verb, path: path.endswith("settings-7")),
    "optimistic conflict": InjectedFault("status", 409, message="the object has been modified",
                                         matches=lambda verb, _path: verb == "PATCH"),
    "dropped before it was carried out": InjectedFault("drop"),
    "carried out, but the answer lost": InjectedFault("lose"),
    "cut in the middle of the body": InjectedFault("cut"),
    "slow": InjectedFault("slow"),
    "idle connections closed": InjectedFault("hang-up", times=1000, matches=lambda _verb, path: "watch=1" not in path),
}  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_release_of_fifty_objects_ends_well(sandbox, proxy, scenario):
    proxy.injected = SCENARIOS[scenario]
    outcome = sandbox.release(*fifty(), cluster=connect(proxy.options()))
    assert proxy.hits > 0
    assert not outcome.failures
    assert outcome.count("created") == 51
    assert len(members(sandbox)) == 30
    assert_unchanged(sandbox, connect(proxy.options()), fifty())
    assert_unchanged(sandbox, connect({}), fifty())


@pytest.mark.parametrize("kind", ["end", "cut", "gone"])
def test_a_watch_that_breaks_is_begun_again(sandbox, proxy, kind):
    proxy.injected = InjectedFault(kind, matches=lambda _verb, path: "watch=1" in path, times=3)
    outcome = sandbox.release(running(sandbox.cluster), cluster=connect(proxy.options()))
    assert not outcome.failures
    assert proxy.hits >= 3
    assert "1/1 ready" in [status.reason for status in outcome.statuses]
    assert_unchanged(sandbox, connect({}), [running(sandbox.cluster)])


@pytest.mark.parametrize(
    "injected", [InjectedFault("status", 410, message="too old"), InjectedFault("cut"), InjectedFault("drop", times=2)]
)
def test_a_teardown_whose_watches_break_ends_well(sandbox, proxy, injected):
    sandbox.release(*configs(2))
    hold(sandbox, "settings-1", [FINALIZER])
    proxy.injected = replace(injected, matches=lambda _verb, path: "watch=1" in path)
    freed = threading.Thread(target=free_once_watched, args=(sandbox, proxy))
    freed.start()
    outcome = sandbox.run(objects=[], cluster=connect(proxy.options())).absent()
    freed.join()
    assert proxy.hits > 0
    assert not outcome.failures
    assert sandbox.get("configmaps/settings-1") is None


def free_once_watched(sandbox, proxy):
    """Take the finalizer away after a watch for the deletion has broken."""
    deadline = time.monotonic() + 60
    while not proxy.hits and time.monotonic() < deadline:
        time.sleep(0.05)
    hold(sandbox, "settings-1", [])


def test_what_stays_broken_is_told_with_how_often_it_was_tried(sandbox, proxy):
    proxy.injected = InjectedFault(
        "status", 500, times=1000, matches=lambda _verb, path: path.split("?")[0].endswith("settings-1")
    )
    outcome = sandbox.release(*configs(3), cluster=connect(proxy.options()))
    (failure,) = outcome.failures
    assert failure["name"] == "settings-1"
    assert "injected (tried 4 times in" in failure["message"]


def test_a_release_that_waits_for_the_server_says_so_in_its_report(sandbox, proxy):
    paths = []

    def from_then_on(_verb, path):  # also the lock's renewal, every 5 s: an answer to it says that the server is there
        paths.extend([path] if path.endswith("/configmaps/settings-0") else [])
        return bool(paths) and (path.endswith("/configmaps/settings-0") or "/leases/" in path)

    proxy.injected = InjectedFault("status", 429, {"Retry-After": "4"}, times=2, matches=from_then_on)
    cluster = connect(proxy.options())
    outcome = sandbox.release(*configs(1), cluster=cluster)
    assert not outcome.failures
    text = f"{proxy.url} does not answer (HTTP 429); it is waited for, 60 s at most"
    assert {"label": "server", "text": text} in outcome.report


def many(text="1"):
    return [*configs(500, text), *secrets(300), *(deployment(f"demo-{number}") for number in range(200))]


def test_a_thousand_objects(sandbox):
    first = connect({})
    outcome = sandbox.release(*many(), cluster=first, wait_timeout=300)
    assert not outcome.failures
    assert outcome.count("created") == 1001
    assert first.api_calls < 2 * 1001 + 100
    second = connect({})
    assert_unchanged(sandbox, second, many())
    assert second.api_calls < 1001 + 100
    changed = sandbox.release(*many("2"))
    assert changed.count("configured") == 500
    assert changed.count("unchanged") == 501
    fewer = sandbox.release(*many("2")[500:])
    assert not fewer.failures
    assert fewer.pruned == 500
    assert not members(sandbox)


def hold(sandbox, name, finalizers):
    sandbox.edit(f"configmaps/{name}", {"metadata": {"finalizers": finalizers}}, manager="someone")


def test_an_object_held_by_a_finalizer_is_named_and_the_next_run_goes_on(sandbox):
    sandbox.release(*configs(3))
    hold(sandbox, "settings-1", [FINALIZER])
    stuck = sandbox.release(*configs(1))
    assert not stuck.failures
    line = f"ConfigMap/settings-1 is deleted and goes once its finalizer is done: {FINALIZER} (set by someone)"
    assert {"label": "prune", "text": line} in stuck.report
    assert_unchanged(sandbox, connect({}), configs(1))
    hold(sandbox, "settings-1", [])
    assert_unchanged(sandbox, connect({}), configs(1))
    assert sandbox.get("configmaps/settings-1") is None


def test_a_teardown_held_by_a_finalizer_is_named_and_the_next_run_goes_on(sandbox):
    sandbox.release(*configs(2))
    hold(sandbox, "settings-1", [FINALIZER])
    stuck = sandbox.run(objects=[], wait_timeout=2).absent()
    (failure,) = stuck.failures
    assert f"(finalizers: {FINALIZER} (set by someone))" in failure["message"]
    hold(sandbox, "settings-1", [])
    assert not sandbox.run(objects=[], wait_timeout=30).absent().failures
    assert not members(sandbox)
