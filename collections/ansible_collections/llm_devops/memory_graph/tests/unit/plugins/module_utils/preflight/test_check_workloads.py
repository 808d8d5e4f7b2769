# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A workload that would take the place of one of another kind, with what the first one keeps."""

from __future__ import annotations

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import (
    _check_workloads,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _history
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.preflight.contexts import (
    context_of,
    workload,
)


def record_of(*members):
    """A release's record with these members."""
    record = _history.ReleaseRecord("demo", "home", 1, "deployed", members=members)
    return {_history.path("demo", "home"): _history.manifest(record)}


def test_a_workload_that_gives_way_to_another_kind_is_a_problem():
    """Two of them would answer at once, and what the first one keeps would be left behind."""
    stateful = workload("StatefulSet")
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "home"}}
    answers = record_of(*(_history.Member(item["apiVersion"], ref(item)) for item in (stateful, claim)))
    context = context_of(workload("Deployment"), answers=answers)
    _check_workloads.workloads(context)
    (problem,) = context.problems
    assert problem["message"] == (
        "StatefulSet/api is of this release and Deployment/api would take its place: both would answer for a while,"
        " and PersistentVolumeClaim/data would be left behind"
    )
    assert "playbooks/teardown.yml" in problem["way_out"]
    for objects in ([stateful, claim], [workload("Deployment", "other")], [workload("Deployment"), stateful, claim]):
        context = context_of(*objects, answers=answers)
        _check_workloads.workloads(context)
        assert context.problems == []
