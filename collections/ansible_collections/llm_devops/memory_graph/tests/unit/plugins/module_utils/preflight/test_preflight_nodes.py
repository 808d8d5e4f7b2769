# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight's look at the nodes: whether there is one for each workload, and which have the images."""

from __future__ import annotations

import pytest
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


CAPACITY = [
    pytest.param([node()], 4, "", id="fits"),
    pytest.param([node()], 400, "", id="room-beside-others-is-the-scheduler's-to-find"),
    pytest.param(
        [node(), node("two", cpu="500m", taints=[{"key": "gpu", "effect": "NoSchedule"}])], 1, "", id="one-is-enough"
    ),
    pytest.param(
        [node(cpu="500m"), node("two", taints=[{"key": "gpu", "effect": "NoSchedule"}])],
        1,
        "a pod of Deployment/api requests cpu 1, the largest node that it may run on has 500m",
        id="larger-than-any-node",
    ),
    pytest.param([], 1, "Deployment/api cannot be scheduled: the cluster has no node that takes pods", id="no-node"),
]


@pytest.mark.parametrize(("nodes", "replicas", "problem"), CAPACITY)
def test_there_is_a_node_for_each_workload(nodes, replicas, problem):
    context = context_of(workload(replicas=replicas, resources=asking()), answers={"/api/v1/nodes": nodes})
    _check_nodes.capacity(context)
    assert context.notes == []
    assert messages(context.problems) == [problem] * bool(problem)


def test_capacity_is_a_note_where_nodes_come_by_themselves():
    answers = {
        "/api/v1/nodes": [node(cpu="500m")],
        "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status": {"data": {}},
    }
    for objects in (workload(resources=asking()), workload(pod={"nodeSelector": {"disk": "ssd"}})):
        context = context_of(objects, answers=answers)
        _check_nodes.capacity(context)
        assert context.problems == []
        assert messages(context.notes)[0].endswith("; the cluster autoscaler may add one")


def test_an_extended_resource_that_no_node_has():
    context = context_of(workload(resources={"limits": {"example.org/gpu": "1"}}), answers={"/api/v1/nodes": [node()]})
    _check_nodes.capacity(context)
    assert messages(context.problems) == [
        "a pod of Deployment/api requests example.org/gpu 1, the largest node that it may run on has 0"
    ]


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
    able, reason = _scheduling.suitable(spec, nodes)
    assert (len(able), reason) == (0 if why else 1, why)


@pytest.mark.parametrize("odd", [None, {}, [], "x"])
def test_nodes_that_say_nothing_are_no_crash(odd):
    bare = {"metadata": {"name": "one", "labels": odd}, "spec": odd, "status": odd}
    nodes = _scheduling.nodes_of([bare])
    assert [item.name for item in nodes] == ["one"]


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


@pytest.mark.parametrize(("policy", "images", "problem", "note_part"), IMAGES)
def test_images_say_what_can_be_known(policy, images, problem, note_part):
    """A node lists fifty images at most, so that with as many nothing follows from absence."""
    item = node()
    item["status"]["images"] = [{"names": [name]} for name in images]
    context = context_of(workload(imagePullPolicy=policy), answers={"/api/v1/nodes": [item]})
    _check_nodes.images(context)
    assert problem in "".join(messages(context.problems))
    assert bool(context.problems) is bool(problem)
    assert note_part in "".join(messages(context.notes))
    assert bool(context.notes) is bool(note_part)


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
