# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Releases on a bad day: an API server that throttles, fails, drops connections, goes away and comes back."""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from dataclasses import replace

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, Unreachable
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import Cluster, connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._kubeconfig import access
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._retry import RetryWindow
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.tests.integration.fault_proxy import FaultProxy, InjectedFault

FINALIZER = "example.com/keep"


def silent(_label, _text):
    """Progress nobody looks at."""


@pytest.fixture(scope="module")
def admin():
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("set KUBECONFIG to a cluster the tests may use")
    return connect({})


@pytest.fixture
def namespace(admin):
    name = f"robust-{uuid.uuid4().hex[:8]}"
    yield name
    admin.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def proxy(admin, tmp_path):
    with FaultProxy(admin, tmp_path) as running_proxy:
        yield running_proxy


def release(cluster, namespace, objects, say=silent, **params):
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    options = {"wait_timeout": 180, **params}
    return Release(cluster, ReleaseParams("demo", namespace, [home, *objects], **options), say).present()


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
    """A Deployment whose pod starts: the pause image is on every node."""
    names = [name for node in cluster.list("/api/v1/nodes") for image in node["status"]["images"]
             for name in image["names"] if "/pause:" in name]  # fmt: skip
    return deployment(image=names[0], replicas=1)


def fifty():
    return [*configs(30), *secrets(15), *(deployment(f"demo-{number}") for number in range(5))]


def steady(cluster, namespace, objects):
    """Asserts that a run through ``cluster`` finds nothing to do."""
    again = release(cluster, namespace, objects)
    assert not again.failures
    assert not again.differs
    assert not again.written


def some(_verb, path):
    return "/namespaces/robust-" in path and "-1" in path.rpartition("/")[2]


SCENARIOS = {
    "throttled": InjectedFault("status", 429, {"Retry-After": "1"}, matches=some),
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
def test_a_release_of_fifty_objects_ends_well(admin, proxy, namespace, scenario):
    proxy.injected = SCENARIOS[scenario]
    outcome = release(connect(proxy.options()), namespace, fifty())
    assert proxy.hits > 0
    assert not outcome.failures
    assert outcome.count("created") == 51
    assert len(list(admin.list(f"/api/v1/namespaces/{namespace}/configmaps", "applyset.kubernetes.io/part-of"))) == 30
    steady(connect(proxy.options()), namespace, fifty())
    steady(connect({}), namespace, fifty())


@pytest.mark.parametrize("kind", ["end", "cut", "gone"])
def test_a_watch_that_breaks_is_begun_again(admin, proxy, namespace, kind):
    proxy.injected = InjectedFault(kind, matches=lambda _verb, path: "watch=1" in path, times=3)
    outcome = release(connect(proxy.options()), namespace, [running(admin)])
    assert not outcome.failures
    assert proxy.hits >= 3
    assert "1/1 ready" in [status.reason for status in outcome.statuses]
    steady(connect({}), namespace, [running(admin)])


@pytest.mark.parametrize(
    "injected", [InjectedFault("status", 410, message="too old"), InjectedFault("cut"), InjectedFault("drop", times=2)]
)
def test_a_teardown_whose_watches_break_ends_well(admin, proxy, namespace, injected):
    release(admin, namespace, configs(2))
    hold(admin, namespace, "settings-1", [FINALIZER])
    proxy.injected = replace(injected, matches=lambda _verb, path: "watch=1" in path)
    freed = threading.Thread(target=free_once_watched, args=(admin, proxy, namespace))
    freed.start()
    outcome = Release(connect(proxy.options()), ReleaseParams("demo", namespace, [], wait_timeout=120), silent).absent()
    freed.join()
    assert proxy.hits > 0
    assert not outcome.failures
    assert admin.find(f"/api/v1/namespaces/{namespace}/configmaps/settings-1") is None


def free_once_watched(admin, proxy, namespace):
    """Lets the object go after a watch for its end has broken."""
    deadline = time.monotonic() + 60
    while not proxy.hits and time.monotonic() < deadline:
        time.sleep(0.05)
    hold(admin, namespace, "settings-1", [])


def test_what_stays_broken_is_told_with_how_often_it_was_tried(proxy, namespace):
    proxy.injected = InjectedFault(
        "status", 500, times=1000, matches=lambda _verb, path: path.split("?")[0].endswith("settings-1")
    )
    outcome = release(connect(proxy.options()), namespace, configs(3))
    (failure,) = outcome.failures
    assert failure["name"] == "settings-1"
    assert "injected (tried 4 times in" in failure["message"]


def impatient(proxy, seconds):
    return Cluster(access(proxy.options(), {}), retry_window=RetryWindow(seconds))


def test_a_server_that_stays_away_is_given_up(proxy, namespace):
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


def test_a_release_that_waits_for_the_server_says_so_in_its_report(proxy, namespace):
    paths = []

    def from_then_on(_verb, path):  # also the lock's renewal, every 5 s: an answer to it says that the server is there
        paths.extend([path] if path.endswith("/configmaps/settings-0") else [])
        return bool(paths) and (path.endswith("/configmaps/settings-0") or "/leases/" in path)

    proxy.injected = InjectedFault("status", 429, {"Retry-After": "4"}, times=2, matches=from_then_on)
    cluster = connect(proxy.options())
    outcome = release(cluster, namespace, configs(1))
    assert not outcome.failures
    text = f"{proxy.url} does not answer (HTTP 429); it is waited for, 60 s at most"
    assert {"label": "server", "text": text} in outcome.report


def test_an_aggregated_api_that_is_away_does_not_cost_a_minute(proxy):
    cluster = connect(proxy.options())
    metrics = "/apis/metrics.k8s.io/v1beta1"
    proxy.injected = InjectedFault("status", 503, times=10**6, matches=lambda _verb, path: path.startswith(metrics))
    with pytest.raises(ApiError, match=r"injected \(tried 4 times in \d+ s\) — kubectl get apiservices tells"):
        cluster.request("GET", metrics)


def test_a_post_is_repeated_only_when_that_is_safe(admin, proxy, namespace):
    admin.request("POST", "/api/v1/namespaces", None, {"metadata": {"name": namespace}})
    cluster = connect(proxy.options())
    proxy.injected = InjectedFault("lose", matches=lambda verb, _path: verb == "POST")
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    answer = cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", None, review)
    assert answer["status"]["allowed"]
    with pytest.raises(Unreachable, match="and the request may have been carried out"):
        cluster.request(
            "POST", f"/api/v1/namespaces/{namespace}/configmaps", None, {"metadata": {"generateName": "x-"}}
        )
    names = [item["metadata"]["name"] for item in admin.list(f"/api/v1/namespaces/{namespace}/configmaps")]
    assert len([name for name in names if name.startswith("x-")]) == 1


def many(text="1"):
    return [*configs(500, text), *secrets(300), *(deployment(f"demo-{number}") for number in range(200))]


def test_a_thousand_objects(admin, namespace):
    first = connect({})
    outcome = release(first, namespace, many(), wait_timeout=300)
    assert not outcome.failures
    assert outcome.count("created") == 1001
    assert first.api_calls < 2 * 1001 + 100
    second = connect({})
    steady(second, namespace, many())
    assert second.api_calls < 1001 + 100
    changed = release(connect({}), namespace, many("2"))
    assert changed.count("configured") == 500
    assert changed.count("unchanged") == 501
    fewer = release(connect({}), namespace, many("2")[500:])
    assert not fewer.failures
    assert fewer.pruned == 500
    assert not list(admin.list(f"/api/v1/namespaces/{namespace}/configmaps", "applyset.kubernetes.io/part-of"))


def hold(admin, namespace, name, finalizers):
    patch = {"metadata": {"finalizers": finalizers}}
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
    admin.request("PATCH", path, {"fieldManager": "someone"}, patch, "application/merge-patch+json")


def test_an_object_held_by_a_finalizer_is_named_and_the_next_run_goes_on(admin, namespace):
    release(admin, namespace, configs(3))
    hold(admin, namespace, "settings-1", [FINALIZER])
    stuck = release(connect({}), namespace, configs(1))
    assert not stuck.failures
    line = f"ConfigMap/settings-1 is deleted and goes once its finalizer is done: {FINALIZER} (set by someone)"
    assert {"label": "prune", "text": line} in stuck.report
    steady(connect({}), namespace, configs(1))
    hold(admin, namespace, "settings-1", [])
    steady(connect({}), namespace, configs(1))
    assert admin.find(f"/api/v1/namespaces/{namespace}/configmaps/settings-1") is None


def test_a_teardown_held_by_a_finalizer_is_named_and_the_next_run_goes_on(admin, namespace):
    release(admin, namespace, configs(2))
    hold(admin, namespace, "settings-1", [FINALIZER])
    stuck = Release(connect({}), ReleaseParams("demo", namespace, [], wait_timeout=2), silent).absent()
    (failure,) = stuck.failures
    assert f"(finalizers: {FINALIZER} (set by someone))" in failure["message"]
    hold(admin, namespace, "settings-1", [])
    assert not Release(connect({}), ReleaseParams("demo", namespace, [], wait_timeout=30), silent).absent().failures
    assert not list(admin.list(f"/api/v1/namespaces/{namespace}/configmaps", "applyset.kubernetes.io/part-of"))
