# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What somebody changed by hand, and by whose hand."""

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


def deployment(place):
    return f"/apis/apps/v1/namespaces/{place.name}/deployments/demo"


def drift(place):
    record = _history.read(place.cluster, "demo", place.name)
    kept = _revisions.read(place.cluster, record, record.entry())
    found = _drift.find_drift(place.cluster, Discovery(place.cluster), record, kept, 4)
    return [one.text(dt.datetime.now(dt.UTC)).rsplit(" by ", 1)[0] for one in found], found


def orphans(place):
    record = _history.read(place.cluster, "demo", place.name)
    return [str(one) for one in _drift.orphans(place.cluster, Discovery(place.cluster), record, 4)]


def test_a_release_just_made_has_no_drift(place):
    place.release(place.config(), secret(API_KEY="x"), workload(cpu="1000m"))
    assert drift(place) == ([], [])
    assert orphans(place) == []


def test_a_changed_field_is_named_with_both_values_and_the_hand_that_wrote_it(place):
    place.release(workload())
    container = {"name": "main", "image": "none.invalid/none:1",
                 "resources": {"requests": {"cpu": "1", "memory": "6Gi"}}}  # fmt: skip
    change = {"spec": {"replicas": 0, "template": {"spec": {"containers": [container]}}}}
    place.edit(deployment(place), change)
    lines, found = drift(place)
    assert lines == [
        "Deployment/demo  spec.template.spec.containers[main].imagePullPolicy: Never, live IfNotPresent — changed",
        "Deployment/demo  spec.template.spec.containers[main].resources.requests.memory: 1Gi, live 6Gi — changed",
    ]
    memory = found[1].as_dict(dt.datetime.now(dt.UTC))
    assert (memory["manager"], memory["expected"], memory["live"]) == ("kubectl-edit", "1Gi", "6Gi")
    assert memory["text"].endswith("s ago")
    assert abs((dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(memory["when"])).total_seconds()) < 3600


def test_a_removed_field_and_a_missing_object_are_drift(place):
    place.release(place.config(a="1", b="2"), place.config("gone"), secret(API_KEY="x"))
    place.edit("configmaps/settings", {"data": {"b": None}})
    place.cluster.delete(place.path("configmaps/gone"))
    place.cluster.delete(place.path("secrets/keys"))
    lines, _found = drift(place)
    assert lines == [
        "ConfigMap/gone  is missing", "ConfigMap/settings  data.b: 2, live absent", "Secret/keys  is missing",
    ]  # fmt: skip


def test_what_others_set_beside_our_fields_is_no_drift(place):
    place.release(place.config(a="1"))
    place.edit("configmaps/settings", {"data": {"theirs": "x"}, "metadata": {"annotations": {"note": "x"}}})
    assert drift(place) == ([], [])


def test_a_secret_drifts_by_key_and_shows_no_value(place):
    place.release(secret(API_KEY="first", KEPT="x", GONE="y"))
    change = {"data": {"API_KEY": base64.b64encode(b"second").decode(), "GONE": None}}
    place.edit("secrets/keys", change)
    lines, found = drift(place)
    assert lines == ["Secret/keys  data.API_KEY: the value differs — changed", "Secret/keys  data.GONE is missing"]
    shown = str([one.as_dict(dt.datetime.now(dt.UTC)) for one in found])
    assert not [value for value in ("first", "second", "c2Vjb25k", "Zmlyc3Q=") if value in shown]


def test_a_field_taken_over_with_its_value_unchanged_is_said(place):
    """The next deployment would meet a conflict."""
    place.release(place.config(a="1"))
    place.edit("configmaps/settings", {"data": {"a": "2"}})
    place.edit("configmaps/settings", {"data": {"a": "1"}})
    lines, found = drift(place)
    assert lines == ["ConfigMap/settings  data.a: as it should be — taken over"]
    assert found[0].manager == "kubectl-edit"


def test_a_label_of_ours_taken_off_is_drift(place):
    place.release(place.config())
    place.edit("configmaps/settings", {"metadata": {"labels": {"applyset.kubernetes.io/part-of": None}}})
    lines, _found = drift(place)
    assert len(lines) == 1
    assert lines[0].startswith("ConfigMap/settings  metadata.labels[applyset.kubernetes.io/part-of]: applyset-")


def test_replicas_an_autoscaler_sets_are_no_drift(place):
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization",
                                                                           "averageUtilization": 70}}}]  # fmt: skip
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "demo"}, "maxReplicas": 5,
            "minReplicas": 1, "metrics": metrics}  # fmt: skip
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "demo"},
              "spec": spec}  # fmt: skip
    place.release(workload(), scaler, wait=False)
    place.edit(f"{deployment(place)}/scale", {"spec": {"replicas": 3}}, "kube-controller-manager")
    assert [line for line in drift(place)[0] if "replicas" in line] == []


def test_an_object_with_our_label_that_no_record_knows_is_an_orphan(place):
    outcome = place.release(place.config())
    stray = place.config("stray")
    stray["metadata"]["labels"] = {"applyset.kubernetes.io/part-of": outcome.record.id}
    place.cluster.request("POST", place.path("configmaps"), None, stray)
    assert orphans(place) == ["ConfigMap/stray"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s ago"), (125, "2 min ago"), (7300, "2 h ago"), (90000, "1 d ago")]
)
def test_ages_are_for_people(seconds, text):
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert _drift.ago((now - dt.timedelta(seconds=seconds)).isoformat(), now) == text
