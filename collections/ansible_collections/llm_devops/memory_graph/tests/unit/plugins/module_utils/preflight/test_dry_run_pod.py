# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The Pod that is made of a workload's template: its volumes, its metadata and its name."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import _resource_requests
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import _dry_run_pod
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.preflight.contexts import workload


def test_claims_of_a_stateful_set_are_volumes_of_its_pods():
    manifest = workload("StatefulSet", pod={"volumes": [{"name": "data", "emptyDir": {}}, {"name": "b"}]})
    manifest["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": {}}]
    manifest["spec"]["template"]["metadata"]["annotations"] = {"a": "b"}
    before = copy.deepcopy(manifest)
    (owner,) = _resource_requests.pods([manifest])
    pod = _dry_run_pod.pod_of(owner, set())
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    assert pod["spec"]["volumes"] == [{"name": "b"}, claim]
    assert pod["metadata"] == {
        "name": "api-preflight",
        "namespace": "home",
        "labels": {"app": "api"},
        "annotations": {"a": "b"},
    }
    assert manifest == before


@pytest.mark.parametrize("name", ["a" * 300, "a" * 52 + "-b", "a" * 52 + ".b"])
def test_the_name_of_the_pod_is_a_host_name(name):
    (owner,) = _resource_requests.pods([workload(name=name)])
    assert _dry_run_pod.name_of(owner).removesuffix("-preflight").strip("a") == ""
    assert len(_dry_run_pod.name_of(owner)) <= 63
