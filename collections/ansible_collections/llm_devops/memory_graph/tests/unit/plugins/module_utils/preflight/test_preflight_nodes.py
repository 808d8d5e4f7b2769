# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight's look at the nodes: how many pods fit, on which nodes, and who has the images."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import _check_nodes, _scheduling
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.preflight.contexts import (
    asking,
    context_of,
    messages,
    workload,
)


def node(name="one", cpu="4", memory="8Gi", taints=(), images=(), labels=None):
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "110"}, "images": [{"names": list(images)}]},
    }


def pod(name="other", on="one", labels=None, phase="Running", **resources):
    return {
        "metadata": {"name": name, "namespace": "home", "labels": labels or {}},
        "status": {"phase": phase},
        "spec": {"nodeName": on, "containers": [{"name": "main", "resources": {"requests": resources}}]},
    }


CAPACITY = [
    pytest.param([node()], [], 4, None, id="fits"),
    pytest.param(
        [node()],
        [pod(cpu="2")],
        4,
        "2 of 4 pods of Deployment/api fit: each requests cpu 1, memory 1Gi; 1 node have cpu 2, memory 8Gi free",
        id="beside-what-runs",
    ),
    pytest.param([node()], [pod(labels={"app": "api"}, cpu="2")], 4, None, id="own-pods-are-replaced"),
    pytest.param([node()], [pod(phase="Succeeded", cpu="4")], 4, None, id="finished-pods-hold-nothing"),
    pytest.param([node(cpu="1500m"), node("two", cpu="1500m")], [], 3, "2 of 3 pods", id="halves-do-not-add-up"),
    pytest.param(
        [node(), node("two", taints=[{"key": "gpu", "effect": "NoSchedule"}])],
        [],
        5,
        "4 of 5 pods",
        id="not-on-a-tainted-node",
    ),
    pytest.param(
        [node(cpu="500m")],
        [],
        1,
        "a pod of Deployment/api requests cpu 1, the largest node that it may run on has 500m",
        id="larger-than-any-node",
    ),
    pytest.param(
        [], [], 1, "Deployment/api cannot be scheduled: the cluster has no node that takes pods", id="no-node"
    ),
]


@pytest.mark.parametrize(("nodes", "running", "replicas", "problem"), CAPACITY)
def test_capacity_counts_how_many_pods_fit(nodes, running, replicas, problem):
    context = context_of(
        workload(replicas=replicas, resources=asking()), answers={"/api/v1/nodes": nodes, "/api/v1/pods": running}
    )
    _check_nodes.capacity(context)
    assert context.notes == []
    said = [one.replace("1 node has", "1 node have") for one in messages(context.problems)]
    assert [one[: len(problem)] for one in said] == [problem] if problem else said == []


def test_capacity_is_a_note_where_nodes_come_by_themselves():
    answers = {
        "/api/v1/nodes": [node(cpu="1")],
        "/api/v1/pods": [],
        "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status": {"data": {}},
    }
    context = context_of(workload(replicas=2, resources=asking()), answers=answers)
    _check_nodes.capacity(context)
    assert context.problems == []
    assert messages(context.notes)[0].endswith("the cluster autoscaler may add nodes")


def test_capacity_without_the_right_to_see_pods_says_so_and_counts_empty_nodes():
    denied = ApiError(403, {}, "https://cluster.invalid: jane may not list pods at cluster scope")
    answers = {"/api/v1/nodes": [node(cpu="1")], "/api/v1/pods": denied}
    context = context_of(workload(replicas=2, resources=asking()), answers=answers)
    _check_nodes.capacity(context)
    assert messages(context.notes) == [
        "what runs on the nodes could not be checked: you may not list pods at cluster scope"
    ]
    assert messages(context.problems)[0].startswith("1 of 2 pods")


TERM = {"key": "zone", "operator": "In", "values": ["a"]}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [TERM]}]}
    }
}
TAINT = {"key": "dedicated", "value": "db", "effect": "NoExecute"}
SUITABLE = [
    ({"nodeSelector": {"disk": "ssd"}}, {}, (), "no node matches its node selector disk=ssd"),
    ({"nodeSelector": {"disk": "ssd"}}, {"disk": "ssd"}, (), ""),
    ({"affinity": AFFINITY}, {"zone": "b"}, (), "no node matches its required node affinity"),
    ({"affinity": AFFINITY}, {"zone": "a"}, (), ""),
    ({}, {}, [TAINT], "it does not tolerate dedicated=db:NoExecute"),
    ({"tolerations": [{"key": "dedicated", "value": "db"}]}, {}, [TAINT], ""),
    (
        {"tolerations": [{"key": "dedicated", "value": "web"}]},
        {},
        [TAINT],
        "it does not tolerate dedicated=db:NoExecute",
    ),
    ({"tolerations": [{"operator": "Exists"}]}, {}, [TAINT], ""),
    ({"nodeName": "elsewhere"}, {}, (), "no node matches node elsewhere"),
    ({}, {}, [{"key": "slow", "effect": "PreferNoSchedule"}], ""),
]


@pytest.mark.parametrize(("spec", "labels", "taints", "why"), SUITABLE)
def test_scheduling_rules(spec, labels, taints, why):
    nodes = _scheduling.nodes_of([node(labels=labels, taints=taints)])
    able, said = _scheduling.suitable(spec, nodes)
    assert (len(able), said) == (0 if why else 1, why)


@pytest.mark.parametrize("odd", [None, {}, [], "x"])
def test_nodes_and_pods_that_say_nothing_are_no_crash(odd):
    bare = {"metadata": {"name": "one", "labels": odd}, "spec": odd, "status": odd}
    nodes = _scheduling.nodes_of([bare])
    _scheduling.occupy(nodes, [bare, {"metadata": {"name": "p"}, "spec": odd, "status": odd}], lambda _pod: False)
    assert [one.name for one in nodes] == ["one"]


@pytest.mark.parametrize(
    ("operator", "values", "matches"),
    [
        ("In", ["5"], True),
        ("NotIn", ["5"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["4"], True),
        ("Gt", ["5"], False),
        ("Lt", ["6"], True),
        ("Lt", ["5"], False),
    ],
)
def test_affinity_operators(operator, values, matches):
    expression = {"key": "size", "operator": operator, "values": values}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    spec = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}
    assert bool(_scheduling.suitable(spec, _scheduling.nodes_of([node(labels={"size": "5"})]))[0]) is matches


IMAGES = [
    ("Never", [], "never pulls image registry.invalid/api:1, and no node has it", ""),
    ("Never", ["registry.invalid/api:1"], "", ""),
    ("IfNotPresent", ["registry.invalid/api:1"], "", ""),
    (
        "IfNotPresent",
        [],
        "",
        "image registry.invalid/api:1 is on no node yet (nodes tell of a new image within a minute): whether",
    ),
    (
        "Always",
        ["registry.invalid/api:1"],
        "",
        "image registry.invalid/api:1 is on 1 of 1 nodes: whether it can be pulled",
    ),
    ("Never", [f"registry.invalid/other:{number}" for number in range(50)], "", "is on no node yet"),
]


@pytest.mark.parametrize(("policy", "images", "problem", "note"), IMAGES)
def test_images_say_what_can_be_known(policy, images, problem, note):
    """A node lists fifty images at most, so that with as many nothing follows from absence."""
    one = node()
    one["status"]["images"] = [{"names": [name]} for name in images]
    context = context_of(workload(imagePullPolicy=policy), answers={"/api/v1/nodes": [one]})
    _check_nodes.images(context)
    assert problem in "".join(messages(context.problems))
    assert bool(context.problems) is bool(problem)
    assert note in "".join(messages(context.notes))
    assert bool(context.notes) is bool(note)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("busybox:1", "docker.io/library/busybox:1"),
        ("org/app:1", "docker.io/org/app:1"),
        ("localhost/a:1", "localhost/a:1"),
        ("host:5000/a:1", "host:5000/a:1"),
        ("host.invalid/a@sha256:0", "host.invalid/a@sha256:0"),
    ],
)
def test_image_names_are_completed_as_nodes_do(short, full):
    assert _check_nodes.canonical(short) == full


@pytest.mark.parametrize("image", ["api", "api:latest", "host:5000/api"])
def test_images_that_change_are_problems(image):
    context = context_of(workload(image=image), answers={"/api/v1/nodes": []})
    _check_nodes.images(context)
    assert "changes under your feet" in messages(context.problems)[0]
