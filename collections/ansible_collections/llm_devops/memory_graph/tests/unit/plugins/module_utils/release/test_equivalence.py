# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Equivalence of manifests: those that stand for each other before the API server, and those that do not."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Resource
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _sampling
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._equivalence import (
    MAX_BYTES,
    canonical_form,
)


def config_map(name="a", **data):
    metadata = {"name": name, "namespace": "demo", "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"LOG_LEVEL": "info"}}


def secret(name="a", value="eA==", **more):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"k": value}, **more}


def deployment(name="a", label=None, **container):
    labels = {"app.kubernetes.io/name": label or name}
    main = {"name": "main", "image": "x:1", "args": ["--number", "1"], "env": [{"name": "N", "value": "1"}],
            "resources": {"requests": {"cpu": "100m"}}, "ports": [{"name": "grpc", "containerPort": 1}],
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/x"}], **container}  # fmt: skip
    volumes = [{"name": "settings", "configMap": {"name": name}}]
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "demo"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": {"app.kubernetes.io/name": name}},
                              "spec": {"containers": [main], "volumes": volumes}}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (config_map("settings-0001"), config_map("s", LOG_LEVEL="debug\nor not")),
        (deployment("web"), deployment("worker-17", image="y@sha256:1", args=["--number", "17"])),
        (secret("a"), secret("b", "c2VjcmV0")),
    ],
)
def test_names_and_free_text_make_no_difference(first, other):
    assert canonical_form(first) == canonical_form(other)
    assert canonical_form(first) is not None


def without(manifest, *path):
    manifest = copy.deepcopy(manifest)
    holder = manifest
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return manifest


CONTAINERS = ("spec", "template", "spec", "containers")
DIFFERENT = {
    "an unknown field": deployment(imagee="x"),
    "a wrong type": deployment(ports="none"),
    "a port that is a text": deployment(ports=[{"name": "grpc", "containerPort": "1"}]),
    "a value of a variable that is a number": deployment(env=[{"name": "N", "value": 1}]),
    "a missing required field": without(deployment(), *CONTAINERS, 0, "image"),
    "a word that is none of an enumeration": deployment(imagePullPolicy="Sometimes"),
    "another quantity": deployment(resources={"requests": {"cpu": "1OOm"}}),
    "a name with capitals": deployment("Web"),
    "a name with two hyphens": deployment("a--b"),
    "a name that is long": deployment("a" * 53),
    "a name with a dot": deployment("a.b"),
    "a name with a digit first": deployment("1a"),
    "a selector that is not of the pods": deployment(label="b"),
    "two containers of one name": {
        **deployment(),
        "spec": {
            **deployment()["spec"],
            "template": {"spec": {"containers": [*deployment()["spec"]["template"]["spec"]["containers"]] * 2}},
        },
    },
    "a mount without its volume": deployment(volumeMounts=[{"name": "other", "mountPath": "/etc/x"}]),
    "an image with a blank": deployment(image=" x"),
    "no image": deployment(image=""),
    "a field that is null": deployment(command=None),
    "replicas below nothing": {**deployment(), "spec": {**deployment()["spec"], "replicas": -1}},
    "replicas that are a truth": {**deployment(), "spec": {**deployment()["spec"], "replicas": True}},
}


@pytest.mark.parametrize("manifest", DIFFERENT)
def test_everything_else_does(manifest):
    assert canonical_form(DIFFERENT[manifest]) != canonical_form(deployment("other"))


@pytest.mark.parametrize(
    "manifest",
    [
        config_map(LOG_LEVEL=7),
        config_map(LOG_LEVEL=None),
        config_map(LOG_LEVEL="x\0"),
        config_map(LOG_LEVEL="half a smile \ud83d"),
        config_map(LOG_LEVEL="x" * MAX_BYTES),
        secret(value="no base64"),
        secret(value=None),
        secret(type="kubernetes.io/tls"),
        {**config_map(), "metadata": {"name": "a", "annotations": {"x": 1}}},
        {**config_map(), "metadata": {"name": "a", "annotations": {"x": "y" * 200_000}}},
        {"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {}},
        {"apiVersion": "example.dev/v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}},
    ],
)
def test_what_only_the_api_server_can_judge_stands_for_no_other(manifest):
    assert canonical_form(manifest) is None


def test_annotations_of_kubernetes_are_compared():
    def annotated(key, value):
        return {**config_map(), "metadata": {"name": "a", "annotations": {key: value}}}

    assert canonical_form(annotated("example.dev/x", "1")) == canonical_form(annotated("example.dev/x", "2"))
    for key in ("pod-security.kubernetes.io/enforce", "kubernetes.io/x", "seccomp.security.alpha.kubernetes.io/pod"):
        assert canonical_form(annotated(key, "1")) != canonical_form(annotated(key, "2"))


MAPS = Resource("v1", "ConfigMap", "configmaps", True, frozenset())


def test_a_few_equal_objects_are_asked_about():
    def grouped(count):
        new = [(ref(manifest), manifest, MAPS) for manifest in (config_map(f"a{number}") for number in range(count))]
        return _sampling.equivalents(new)

    assert grouped(_sampling.MIN_SAVED_DRY_RUNS) == {}
    ((group,),) = grouped(_sampling.MIN_SAVED_DRY_RUNS + 1).values()
    assert len(group) == _sampling.MIN_SAVED_DRY_RUNS + 1


def rule(groups, resources, operations=("CREATE", "UPDATE")):
    return {"apiGroups": list(groups), "resources": list(resources), "operations": list(operations)}


@pytest.mark.parametrize(
    ("answers", "looks"),
    [
        (rule([""], ["configmaps"]), True),
        (rule(["*"], ["*"]), True),
        (rule([""], ["*/*"], ["*"]), True),
        (rule([""], ["pods", "secrets"]), False),
        (rule(["apps"], ["*"]), False),
        (rule([""], ["configmaps"], ["DELETE"]), False),
        ({}, False),
    ],
)
def test_a_kind_that_admission_looks_at(answers, looks):
    assert _sampling.has_admission([answers], MAPS) is looks
