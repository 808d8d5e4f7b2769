# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever others write into status, metadata, events and pods: no crash, and always an answer."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import FIELD_MANAGER
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._claims import binding_problem
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._kinds import KINDS as KIND_ROWS
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._kinds import judge
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import _fields, _namespaces
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._resource_requests import autoscaled
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _drift
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait import (
    _assessment,
    _diagnose,
    _pod_status,
    _pods,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait._watch_cache import WatchCache
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.examples import examples
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.json_shapes import any_object, shaken
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.wait.harness import ALL, WaitHarness
from hypothesis import given
from hypothesis import strategies as st

KINDS = [*KIND_ROWS, ("external-secrets.io", "ExternalSecret"), ("example.dev", "Widget"), ("", "ConfigMap")]
RECORDED = st.sampled_from(ALL).flatmap(shaken)
PODS = st.sampled_from([obj for obj in ALL if obj["kind"] == "Pod"]).flatmap(shaken)
EVENTS = st.sampled_from([obj for obj in ALL if obj["kind"] == "Event"]).flatmap(shaken)
AWAITED = [obj for obj in ALL if obj["kind"] not in ("Event", "Node")]


OURS = {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:replicas": {}, "f:template": {}}, "f:data": {}}
MANAGED = [
    {"manager": manager, "operation": operation, "fieldsV1": OURS, "time": "2026-01-01T00:00:00Z"}
    for manager, operation in ((FIELD_MANAGER, "Apply"), ("kubectl-edit", "Update"))
]
SPOILT = [None, "x", {}, {"fieldsV1": "x"}, {"manager": 7, "fieldsV1": OURS, "time": []}, {"fieldsV1": {"f:spec": {}}}]


def api_version(group):
    return f"{group}/v1" if group else "v1"


def answered(verdict):
    assert verdict.state in ("ready", "progressing", "failed")
    assert isinstance(verdict.reason, str)


@pytest.mark.parametrize(("group", "kind"), KINDS)
@examples(25)
@given(data=st.data())
def test_every_rule_answers(group, kind, data):
    answered(judge(data.draw(any_object(api_version(group), kind))))


@examples(150)
@given(RECORDED)
def test_a_recorded_object_with_other_parts_is_judged(obj):
    answered(judge(obj))
    assert all(isinstance(name, str) for spec in _pods.pod_specs(obj) for name in _pods.claims_of(spec))
    assert isinstance(_pods.unproven(obj, None), bool)
    assert isinstance(_namespaces.held(obj), str)
    autoscaled([obj])


@examples(150)
@given(PODS, st.lists(EVENTS, max_size=4))
def test_a_pod_is_diagnosed(pod, events):
    problem = _diagnose.pod_problem(pod, events)
    assert problem is None or isinstance(problem.reason, str)
    word, detail = _pod_status.phase(pod, events)
    assert isinstance(word + detail + _diagnose.unready(pod) + "".join(_diagnose.ended(pod)), str)
    for event in events:
        _diagnose.refused_creation(event)
        binding_problem(event)


@examples(120)
@given(st.sampled_from(AWAITED).flatmap(shaken), st.lists(RECORDED, max_size=5), st.data())
def test_an_awaited_object_is_explained(obj, others, data):
    cache = WatchCache({ref(obj): obj})
    for other in [obj, *others]:
        kind = data.draw(st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", None]))
        cache.update("watch", {"type": kind, "object": other})
    assessment = _assessment.assess(cache.live[ref(obj)], cache)
    assert isinstance(assessment.sentence + assessment.serving, str)
    cache.related_events(cache.live[ref(obj)])
    cache.opened("watch")


@examples(40)
@given(st.lists(st.sampled_from(AWAITED).flatmap(shaken), min_size=1, max_size=3), st.lists(RECORDED, max_size=4))
def test_a_wait_goes_on(objects, others):
    with pytest.MonkeyPatch.context() as monkeypatch:
        waiting = WaitHarness(monkeypatch).begin(*objects).show(*others).after(100)
        for status in waiting.waiter.status.values():
            waiting.waiter._add_explanation(status)
            assert status.state in ("ready", "progressing", "failed")
            assert isinstance(status.reason + status.why + status.way_out, str)


@examples(80)
@given(st.sampled_from(AWAITED).flatmap(lambda obj: st.tuples(shaken(obj), shaken(obj))))
def test_drift_is_told(pair):
    live, after = (copy.deepcopy(obj) for obj in pair)
    live["metadata"].setdefault("managedFields", [*MANAGED, *SPOILT])
    after["metadata"].setdefault("managedFields", MANAGED)
    for drift in _drift.compared(ref(live), live, after, b"key"):
        assert isinstance(drift.text(_drift.dt.datetime.now(_drift.dt.UTC)), str)
    _fields.visible(live, _fields.owned(after, "kubectl"))
