# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Drift: fields and objects that others changed since the release, and who changed them."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _drift, _history, _revisions


def secret(**data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": data}


def workload(cpu="1"):
    resources = {"requests": {"cpu": cpu, "memory": "1Gi"}}
    container = {"name": "main", "image": "none.invalid/none:1", "imagePullPolicy": "Never", "resources": resources}
    template = {"metadata": {"labels": {"app": "demo"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "demo"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo"}, "spec": spec}


def deployment(sandbox):
    return f"/apis/apps/v1/namespaces/{sandbox.name}/deployments/demo"


def drift(sandbox):
    record = _history.read(sandbox.cluster, "demo", sandbox.name)
    revision = _revisions.read(sandbox.cluster, record, record.entry())
    differences = _drift.find_drift(sandbox.cluster, Discovery(sandbox.cluster), record, revision, 4)
    return [difference.text(dt.datetime.now(dt.UTC)).rsplit(" by ", 1)[0] for difference in differences], differences


def orphans(sandbox):
    record = _history.read(sandbox.cluster, "demo", sandbox.name)
    return [str(difference) for difference in _drift.orphans(sandbox.cluster, Discovery(sandbox.cluster), record, 4)]


def test_a_release_just_made_has_no_drift(sandbox):
    sandbox.release(sandbox.config(), secret(API_KEY="x"), workload(cpu="1000m"))
    assert drift(sandbox) == ([], [])
    assert orphans(sandbox) == []


def test_a_changed_field_is_named_with_both_values_and_its_writer(sandbox):
    sandbox.release(workload())
    container = {"name": "main", "image": "none.invalid/none:1",
                 "resources": {"requests": {"cpu": "1", "memory": "6Gi"}}}  # fmt: skip
    change = {"spec": {"replicas": 0, "template": {"spec": {"containers": [container]}}}}
    sandbox.edit(deployment(sandbox), change)
    lines, differences = drift(sandbox)
    assert lines == [
        "Deployment/demo  spec.template.spec.containers[main].imagePullPolicy: Never, live IfNotPresent — changed",
        "Deployment/demo  spec.template.spec.containers[main].resources.requests.memory: 1Gi, live 6Gi — changed",
    ]
    memory = differences[1].as_dict(dt.datetime.now(dt.UTC))
    assert (memory["manager"], memory["expected"], memory["live"]) == ("kubectl-edit", "1Gi", "6Gi")
    assert memory["text"].endswith("s ago")
    assert abs((dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(memory["when"])).total_seconds()) < 3600


def test_a_removed_field_and_a_missing_object_are_drift(sandbox):
    sandbox.release(sandbox.config(a="1", b="2"), sandbox.config("gone"), secret(API_KEY="x"))
    sandbox.edit("configmaps/settings", {"data": {"b": None}})
    sandbox.cluster.delete(sandbox.path("configmaps/gone"))
    sandbox.cluster.delete(sandbox.path("secrets/keys"))
    lines, _differences = drift(sandbox)
    assert lines == [
        "ConfigMap/gone  is missing", "ConfigMap/settings  data.b: 2, live absent", "Secret/keys  is missing",
    ]  # fmt: skip


def test_what_others_set_beside_our_fields_is_no_drift(sandbox):
    sandbox.release(sandbox.config(a="1"))
    sandbox.edit("configmaps/settings", {"data": {"theirs": "x"}, "metadata": {"annotations": {"note": "x"}}})
    assert drift(sandbox) == ([], [])


def test_a_secret_drifts_by_key_and_shows_no_value(sandbox):
    sandbox.release(secret(API_KEY="first", KEPT="x", GONE="y"))
    change = {"data": {"API_KEY": base64.b64encode(b"second").decode(), "GONE": None}}
    sandbox.edit("secrets/keys", change)
    lines, differences = drift(sandbox)
    assert lines == ["Secret/keys  data.API_KEY: the value differs — changed", "Secret/keys  data.GONE is missing"]
    report = str([difference.as_dict(dt.datetime.now(dt.UTC)) for difference in differences])
    assert not [value for value in ("first", "second", "c2Vjb25k", "Zmlyc3Q=") if value in report]


def test_a_field_taken_over_with_its_value_unchanged_is_said(sandbox):
    """The next deployment would fail with a conflict."""
    sandbox.release(sandbox.config(a="1"))
    sandbox.edit("configmaps/settings", {"data": {"a": "2"}})
    sandbox.edit("configmaps/settings", {"data": {"a": "1"}})
    lines, differences = drift(sandbox)
    assert lines == ["ConfigMap/settings  data.a: as it should be — taken over"]
    assert differences[0].manager == "kubectl-edit"


def test_a_label_of_ours_taken_off_is_drift(sandbox):
    sandbox.release(sandbox.config())
    sandbox.edit("configmaps/settings", {"metadata": {"labels": {"applyset.kubernetes.io/part-of": None}}})
    lines, _differences = drift(sandbox)
    assert len(lines) == 1
    assert lines[0].startswith("ConfigMap/settings  metadata.labels[applyset.kubernetes.io/part-of]: applyset-")


def test_replicas_an_autoscaler_sets_are_no_drift(sandbox):
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization",
                                                                           "averageUtilization": 70}}}]  # fmt: skip
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "demo"}, "maxReplicas": 5,
            "minReplicas": 1, "metrics": metrics}  # fmt: skip
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "demo"},
              "spec": spec}  # fmt: skip
    sandbox.release(workload(), scaler, wait=False)
    sandbox.edit(f"{deployment(sandbox)}/scale", {"spec": {"replicas": 3}}, "kube-controller-manager")
    assert [line for line in drift(sandbox)[0] if "replicas" in line] == []


def test_an_object_with_our_label_that_no_record_knows_is_an_orphan(sandbox):
    outcome = sandbox.release(sandbox.config())
    stray = sandbox.config("stray")
    stray["metadata"]["labels"] = {"applyset.kubernetes.io/part-of": outcome.record.id}
    sandbox.cluster.request("POST", sandbox.path("configmaps"), None, stray)
    assert orphans(sandbox) == ["ConfigMap/stray"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s ago"), (125, "2 min ago"), (7300, "2 h ago"), (90000, "1 d ago")]
)
def test_ages_are_for_people(seconds, text):
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert _drift.ago((now - dt.timedelta(seconds=seconds)).isoformat(), now) == text
