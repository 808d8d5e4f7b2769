# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Refusals of fields that cannot change, as one sentence with the way out."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import (
    _immutable,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step


def refused(kind, message, manifest_spec, live_spec, field="spec", **live):
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "ns"}, "spec": manifest_spec}
    step = Step(manifest, ref(manifest), live={**manifest, "spec": live_spec, **live})
    body = {"details": {"causes": [{"field": field, "message": message}]}}
    step.error = ApiError(422, body, f"{kind} is invalid: {message}")
    lease = _immutable.explained(step)
    return str(lease) if lease else ""


def test_immutable_fields_are_said_with_the_way_out():
    sets = (
        "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template' are forbidden"
    )
    assert "its spec.serviceName cannot change" in refused(
        "StatefulSet", sets, {"replicas": 2, "serviceName": "b"}, {"replicas": 1, "serviceName": "a"}
    )
    selector = refused("Deployment", "Invalid value: {}: field is immutable", {}, {}, field="spec.selector")
    assert selector.startswith("Deployment/x exists, and its spec.selector cannot change — ")
    assert "kubectl -n ns delete deployment x --cascade=orphan" in selector
    address = refused("Service", "Invalid value: []: may not change once set", {}, {}, field="spec.clusterIPs[0]")
    assert "Service/x exists, and its spec.clusterIPs[0] cannot change" in address
    assert "--cascade" not in address
    assert "--cascade" not in refused("Job", "field is immutable", {}, {}, field="spec.template")
    storage = {"resources": {"requests": {"storage": "5Gi"}}}
    spec = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
    larger = {"resources": {"requests": {"storage": "5Gi"}}}
    grown = {"status": {"capacity": {"storage": "10Gi"}}}
    assert "has 10Gi and cannot shrink to 5Gi" in refused("PersistentVolumeClaim", spec, storage, larger, **grown)
    assert "its spec.storageClassName cannot change; only its size can, upwards" in refused(
        "PersistentVolumeClaim", spec, {**storage, "storageClassName": "b"}, {**storage, "storageClassName": "a"}
    )


def test_other_refusals_are_left_as_they_are():
    assert refused("Deployment", "Required value", {}, {}, field="spec.template") == ""


@pytest.mark.parametrize(("requested", "has", "error"), [("1Gi", "1Gi", False), ("1024Mi", "1Gi", False),
                                                         ("2Gi", "1Gi", False), ("1023Mi", "1Gi", True)])  # fmt: skip
def test_a_claim_shrinks_by_quantity_and_not_by_text(requested, has, error):
    def claim(size):
        return {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": size}}}}

    assert bool(_immutable.shrunk(claim(requested), claim(has))) == error
