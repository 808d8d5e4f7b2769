# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Quantities are numbers as Kubernetes writes them; what is none is refused by object, field and value, unsent."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ManifestError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import _quantity
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.examples import examples
from hypothesis import given
from hypothesis import strategies as st

SUFFIXES = ["", *"numkMGTPE", *(f"{prefix}i" for prefix in "KMGTPE"), "e3", "E3", "e-3", "E+3"]
DIGITS = st.text("0123456789", min_size=1, max_size=12)
NUMBERS = st.one_of(DIGITS, st.tuples(DIGITS, DIGITS).map(".".join), DIGITS.map(".{}".format), DIGITS.map("{}.".format))
QUANTITIES = st.tuples(st.sampled_from(["", "+", "-"]), NUMBERS, st.sampled_from(SUFFIXES)).map("".join)


@pytest.mark.parametrize(
    ("first", "second"),
    [("1000m", "1"), ("1Ki", "1024"), ("1e3", "1k"), ("1E3", "1k"), ("0.5Gi", "512Mi"), (0.5, "500m"), (1, "1000m"),
     (1e-07, "100n"), (1e22, "10000E"), (" 1 ", "1"), ("+1", "1"), (".5", "500m"), ("1.G", "1G"), ("1E", "1000P")],
)  # fmt: skip
def test_quantities_are_numbers(first, second):
    assert _quantity.parse(first) == _quantity.parse(second)


@pytest.mark.parametrize(
    "text",
    ["lots", "", " ", "10 Gi", "10GB", "10K", "10gi", "10Gib", "1OOm", "1.2.3", ".", "-", "1e", "1e3Mi", "1,5", "0x10",
     "٣", "1_000", "1e99999999999999999999", "NaN", "Infinity", "1Gi\n2Gi", "--1", "1Gi\n", "\t1"],
)  # fmt: skip
def test_what_is_no_quantity_is_a_value_error(text):
    with pytest.raises(ValueError, match="is not a quantity"):
        _quantity.parse(text)


def test_what_cannot_be_seen_in_a_value_is_shown():
    assert _quantity.invalid_reason("1Gi\n") == r"'1Gi\n', which is no quantity"


@examples(300)
@given(QUANTITIES | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_every_quantity_has_a_number(quantity):
    number = _quantity.parse(quantity)
    assert number.is_finite()
    assert not _quantity.invalid_reason(quantity)
    assert bool(_quantity.invalid_reason(quantity, least=0)) == (number < 0)
    assert bool(_quantity.invalid_reason(quantity, least=1)) == (number <= 0)


@examples(300)
@given(st.text(max_size=80) | st.none() | st.booleans() | st.lists(st.integers()) | st.just({}))
def test_any_value_is_a_quantity_or_a_reason_in_a_few_words(value):
    reason = _quantity.invalid_reason(value)
    assert len(reason.splitlines()) <= 1
    assert len(reason) < 80
    if not reason:
        assert isinstance(_quantity.parse(value), Decimal)


def test_quantities_are_shown_short():
    assert _quantity.show(_quantity.parse("12288Mi"), "limits.memory") == "12Gi"
    assert _quantity.show(_quantity.parse("1500m"), "cpu") == "1500m"


def thing(kind, api_version="v1", **content):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **content}


def container(**resources):
    return {"name": "main", "image": "x:1", "resources": resources}


def pod(**spec):
    return thing("Pod", spec={"containers": [container()], **spec})


def workload(kind, api_version="apps/v1", **spec):
    return thing(kind, api_version, spec={"template": {"spec": {"containers": [container()], **spec}}})


def claim(**resources):
    return {"accessModes": ["ReadWriteOnce"], "resources": resources}


def autoscaler(kind, **target):
    metrics = [{"type": "x", kind: {"target": target}}]
    return thing("HorizontalPodAutoscaler", "autoscaling/v2", spec={"metrics": metrics})


LOTS = {"requests": {"cpu": 1, "memory": "lots"}}
FIELD = {"fieldRef": {}, "resourceFieldRef": {"divisor": "lots"}}
TEMPLATE = "spec.template.spec"
WRONG = [
    (workload("Deployment", containers=[container(), container(**LOTS)]),
     f"{TEMPLATE}.containers[1].resources.requests.memory"),
    (workload("DaemonSet", initContainers=[container(limits={"cpu": "lots"})]),
     f"{TEMPLATE}.initContainers[0].resources.limits.cpu"),
    (workload("Job", "batch/v1", resources=LOTS), f"{TEMPLATE}.resources.requests.memory"),
    (thing("CronJob", "batch/v1", spec={"jobTemplate": workload("Job", containers=[container(**LOTS)])}),
     f"spec.jobTemplate.{TEMPLATE}.containers[0].resources.requests.memory"),
    (thing("PodTemplate", template={"spec": {"containers": [container(**LOTS)]}}),
     "template.spec.containers[0].resources.requests.memory"),
    (workload("ReplicationController", "v1", containers=[container(**LOTS)]),
     f"{TEMPLATE}.containers[0].resources.requests.memory"),
    (pod(ephemeralContainers=[container(**LOTS)]), "spec.ephemeralContainers[0].resources.requests.memory"),
    (pod(overhead={"cpu": "lots"}), "spec.overhead.cpu"),
    (pod(volumes=[{"emptyDir": {"sizeLimit": "lots"}}]), "spec.volumes[0].emptyDir.sizeLimit"),
    (pod(volumes=[{}, {"ephemeral": {"volumeClaimTemplate": {"spec": claim(requests={"storage": "lots"})}}}]),
     "spec.volumes[1].ephemeral.volumeClaimTemplate.spec.resources.requests.storage"),
    (pod(volumes=[{"downwardAPI": {"items": [FIELD]}}]),
     "spec.volumes[0].downwardAPI.items[0].resourceFieldRef.divisor"),
    (pod(volumes=[{"projected": {"sources": [{"downwardAPI": {"items": [FIELD]}}]}}]),
     "spec.volumes[0].projected.sources[0].downwardAPI.items[0].resourceFieldRef.divisor"),
    (pod(containers=[{"name": "main", "env": [{"name": "X", "valueFrom": FIELD}]}]),
     "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor"),
    (thing("PersistentVolumeClaim", spec=claim(requests={"storage": "lots"})), "spec.resources.requests.storage"),
    (thing("PersistentVolumeClaim", spec=claim(limits={"storage": "lots"})), "spec.resources.limits.storage"),
    (thing("PersistentVolume", spec={"capacity": {"storage": "lots"}}), "spec.capacity.storage"),
    (thing("StatefulSet", "apps/v1", spec={"volumeClaimTemplates": [{"spec": claim(requests={"storage": "lots"})}]}),
     "spec.volumeClaimTemplates[0].spec.resources.requests.storage"),
    (thing("ResourceQuota", spec={"hard": {"limits.cpu": "lots"}}), "spec.hard.limits.cpu"),
    *((thing("LimitRange", spec={"limits": [{}, {part: {"memory": "lots"}}]}), f"spec.limits[1].{part}.memory")
      for part in ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")),
    *((autoscaler(kind, **{field: "lots"}), f"spec.metrics[0].{kind}.target.{field}")
      for kind in ("resource", "containerResource", "pods", "object", "external")
      for field in ("value", "averageValue")),
    (thing("RuntimeClass", "node.k8s.io/v1", overhead={"podFixed": {"cpu": "lots"}}), "overhead.podFixed.cpu"),
]  # fmt: skip


@pytest.mark.parametrize(("manifest", "path"), WRONG, ids=[f"{manifest['kind']} {path}" for manifest, path in WRONG])
def test_a_field_that_is_no_quantity_is_refused_by_object_field_and_value(manifest, path):
    with pytest.raises(ManifestError) as refused:
        prepared([thing("ConfigMap"), copy.deepcopy(manifest)], "demo", "ns")
    assert str(refused.value) == (
        f"object 2, {manifest['kind']}/x: {path} is 'lots', which is no quantity — write a number, with a unit of"
        " Kubernetes where it has one, as 10Gi, 500M, 250m or 2"
    )


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        (pod(containers=[container(requests={"cpu": -1})]), "requests.cpu is -1, which is negative"),
        (thing("PersistentVolumeClaim", spec=claim(requests={"storage": "0Gi"})), "'0Gi', which is not above zero"),
        (thing("PersistentVolumeClaim", spec=claim(requests={"storage": "-1Gi"})), "'-1Gi', which is negative"),
        (thing("ResourceQuota", spec={"hard": {"pods": True}}), "pods is a truth value, which is no quantity"),
        (thing("ResourceQuota", spec={"hard": {"pods": {}}}), "pods is a mapping, which is no quantity"),
        (thing("ResourceQuota", spec={"hard": "10"}), "spec.hard is a text, not a mapping of quantities"),
        (thing("ResourceQuota", spec={"hard": {"pods": "a\nb" * 40}}), "…', which is no quantity"),
        (
            workload("Deployment", containers=[container(requests={"memory": "2Gi"}, limits={"memory": "2G"})]),
            "containers[0].resources.requests.memory is '2Gi', more than its limit '2G' — lower the request",
        ),
        (pod(resources={"requests": {"cpu": 2}, "limits": {"cpu": 1.5}}), "requests.cpu is 2, more than its limit 1.5"),
    ],
)
def test_what_cannot_be_there_is_refused(manifest, sentence):
    with pytest.raises(ManifestError) as refused:
        prepared([manifest], "demo", "ns")
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "manifest",
    [
        pod(containers=[container(requests={"cpu": 0.5, "memory": "1Gi", "x.io/y": None}, limits={"cpu": 1})]),
        pod(containers=[{"name": "main", "resources": None}]),
        pod(volumes=[{"emptyDir": {"sizeLimit": 0}}, {"emptyDir": {}}]),
        thing("LimitRange", spec={"limits": [{"maxLimitRequestRatio": {"cpu": 2}}]}),
        thing("Gadget", "bug.example/v1", spec={"hard": {"cpu": "lots"}, "containers": [container(**LOTS)]}),
        thing("ResourceQuota", "bug.example/v1", spec={"hard": {"cpu": "lots"}}),
        thing("HorizontalPodAutoscaler", "autoscaling/v1", spec={"maxReplicas": 2}),
        thing("PersistentVolumeClaim", spec={"volumeName": "by-hand"}),
    ],
)
def test_what_kubernetes_takes_or_another_defines_is_left_to_it(manifest):
    assert prepared([manifest], "demo", "ns")
