# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight's checks against recorded answers: what is a problem, what a note, what is said."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError, Unreachable
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import (
    _check_access,
    _check_limits,
    _preflight,
    _storage_classes,
)
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.preflight.contexts import (
    RecordedCluster,
    asking,
    context_of,
    messages,
    workload,
)


def claim(modes=("ReadWriteOnce",), **spec):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": list(modes), "resources": {"requests": {"storage": "1Gi"}}, **spec},
    }


def storage_class(name, provisioner, default=False):
    annotations = {_storage_classes.DEFAULT: "true"} if default else {}
    return {"metadata": {"name": name, "annotations": annotations}, "provisioner": provisioner}


CLASSES = [
    storage_class("standard", "rancher.io/local-path", True),
    storage_class("files", "efs.csi.aws.com"),
    storage_class("rook", "rook-ceph.rbd.csi.ceph.com"),
    storage_class("odd", "example.org/odd"),
]
STORAGE = [
    (claim(), "", ""),
    (claim(["ReadWriteMany"]), "class 'standard' has no ReadWriteMany for data", ""),
    (claim(["ReadWriteMany"], storageClassName="files"), "", ""),
    (claim(["ReadWriteMany"], storageClassName="rook"), "class 'rook' has no ReadWriteMany for data", ""),
    (claim(["ReadWriteMany"], storageClassName="rook", volumeMode="Block"), "", ""),
    (claim(["ReadOnlyMany"], storageClassName="rook"), "", ""),
    (claim(["ReadWriteMany"], storageClassName="odd"), "", "whether class 'odd' (example.org/odd) gives ReadWriteMany"),
    (claim(storageClassName="odd"), "", ""),
    (claim(storageClassName="gone"), "claim data wants class 'gone', which does not exist", ""),
    (claim(storageClassName=""), "", ""),
    (claim(["ReadWriteMany"], storageClassName="gone", volumeName="by-hand"), "", ""),
]


@pytest.mark.parametrize(("manifest", "problem", "note_start"), STORAGE)
def test_storage_classes_and_their_access_modes(manifest, problem, note_start):
    context = context_of(manifest, answers={"/apis/storage.k8s.io/v1/storageclasses": CLASSES})
    _check_limits.storage(context)
    assert [problem] * bool(problem) == messages(context.problems)
    assert note_start in "".join(messages(context.notes))
    assert bool(context.notes) is bool(note_start)


@pytest.mark.parametrize(
    ("classes", "way_out"), [([], "the cluster has none: install a provisioner"), (CLASSES[1:2], "name one of: files")]
)
def test_claim_without_a_class_where_none_is_the_default(classes, way_out):
    context = context_of(claim(), answers={"/apis/storage.k8s.io/v1/storageclasses": classes})
    _check_limits.storage(context)
    assert messages(context.problems) == ["claim data names no class and the cluster has no default"]
    assert context.problems[0]["way_out"] == way_out


def autoscaler(*types):
    metrics = [{"type": kind} for kind in types]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "api"},
        "spec": {"metrics": metrics} if metrics else {},
    }


@pytest.mark.parametrize(
    ("types", "served", "missing"),
    [
        ((), [], ["metrics.k8s.io"]),
        (("Resource",), ["metrics.k8s.io"], []),
        (("Resource", "Pods", "External"), ["metrics.k8s.io"], ["custom.metrics.k8s.io", "external.metrics.k8s.io"]),
    ],
)
def test_autoscalers_without_their_metrics_are_noted(types, served, missing):
    context = context_of(autoscaler(*types), answers={f"/apis/{group}": {"kind": "APIGroup"} for group in served})
    _check_limits.metrics(context)
    assert context.problems == []
    assert [message.split()[2].rstrip(":") for message in messages(context.notes)] == missing


def quota(name="team", used=None, **hard):
    named = {key.replace("_", "."): value for key, value in hard.items()}
    return {"metadata": {"name": name, "namespace": "home"}, "spec": {"hard": named}, "status": {"used": used or {}}}


def quota_answers(*quotas, live=None, ranges=()):
    answers = {
        "/api/v1/namespaces/home/resourcequotas": list(quotas),
        "/api/v1/namespaces/home/limitranges": list(ranges),
    }
    return answers | ({"/apis/apps/v1/namespaces/home/deployments/api": live} if live else {})


LIMITED = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}}
QUOTA = [
    pytest.param(
        workload(replicas=3, resources=LIMITED),
        quota(limits_memory="8Gi"),
        None,
        ["limits.memory would be 12Gi, ResourceQuota 'team' leaves 8Gi"],
        id="too-much",
    ),
    pytest.param(
        workload(replicas=2, resources=LIMITED),
        quota(limits_memory="8Gi", used={"limits.memory": "1Gi"}),
        None,
        ["limits.memory would be 8Gi, ResourceQuota 'team' leaves 7Gi"],
        id="beside-others",
    ),
    pytest.param(
        workload(replicas=2, resources=LIMITED),
        quota(limits_memory="8Gi", used={"limits.memory": "8Gi"}),
        workload(replicas=2, resources=LIMITED),
        [],
        id="own-use-is-not-asked-for-again",
    ),
    pytest.param(
        workload(replicas=3), quota(pods="2"), None, ["pods would be 3, ResourceQuota 'team' leaves 2"], id="pods"
    ),
]


@pytest.mark.parametrize(("manifest", "limit", "live", "problems"), QUOTA)
def test_quota(manifest, limit, live, problems):
    context = context_of(manifest, answers=quota_answers(limit, live=live))
    _check_limits.quota(context)
    assert messages(context.problems) == problems


@pytest.mark.parametrize(("below", "notes"), [(0, 1), ("25%", 1), ("50%", 0), (1, 0)])
def test_quota_notes_that_a_rolling_update_needs_one_more(below, notes):
    """No problem: a run that changes no pod needs none, and whether one changes is not known yet."""
    manifest = workload(replicas=2, strategy={"rollingUpdate": {"maxUnavailable": below}}, resources=LIMITED)
    context = context_of(
        manifest, answers=quota_answers(quota(limits_memory="8Gi", used={"limits.memory": "8Gi"}), live=manifest)
    )
    _check_limits.quota(context)
    assert context.problems == []
    assert [message[:43] for message in messages(context.notes)] == [
        "a rolling update needs limits.memory 12Gi, "
    ] * notes


def test_quota_takes_a_limit_range_defaults():
    limit = {"type": "Container", "default": {"memory": "4Gi"}}
    ranges = [{"metadata": {"name": "usual", "namespace": "home"}, "spec": {"limits": [limit]}}]
    answers = quota_answers(quota(limits_memory="2Gi"), ranges=ranges)
    context = context_of(workload(), answers=answers)
    _check_limits.quota(context)
    assert messages(context.problems) == ["limits.memory would be 4Gi, ResourceQuota 'team' leaves 2Gi"]


def test_quota_with_scopes_is_not_guessed():
    limit = quota(pods="0")
    limit["spec"]["scopes"] = ["BestEffort"]
    context = context_of(workload(), answers=quota_answers(limit))
    _check_limits.quota(context)
    assert (context.problems, len(context.notes)) == ([], 1)


@pytest.mark.parametrize(
    ("limit", "problem"),
    [
        (
            {"type": "Container", "max": {"memory": "2Gi"}},
            "container main of Deployment/api has limits.memory 4Gi, LimitRange 'usual' allows at most 2Gi",
        ),
        ({"type": "Pod", "max": {"memory": "2Gi"}}, "a pod of Deployment/api has limits.memory 4Gi"),
        (
            {"type": "Container", "min": {"cpu": "2"}},
            "container main of Deployment/api requests cpu 1, LimitRange 'usual' wants at least 2",
        ),
        (
            {"type": "PersistentVolumeClaim", "max": {"storage": "500Mi"}},
            "claim data asks for 1Gi, LimitRange 'usual' allows max 500Mi",
        ),
    ],
)
def test_limit_ranges_of_the_release(limit, problem):
    limit_range = {"kind": "LimitRange", "metadata": {"name": "usual"}, "spec": {"limits": [limit]}}
    context = context_of(workload(resources=LIMITED), claim(), limit_range, answers=quota_answers())
    _check_limits.limits(context)
    assert [message[: len(problem)] for message in messages(context.problems)] == [problem]


def test_limit_ranges_that_exist_judge_claims_and_the_dry_run_judges_pods():
    limits = [{"type": "Container", "max": {"memory": "2Gi"}}, {"type": "PersistentVolumeClaim", "max": {"storage": 1}}]
    ranges = [{"metadata": {"name": "usual", "namespace": "home"}, "spec": {"limits": limits}}]
    context = context_of(workload(resources=LIMITED), claim(), answers=quota_answers(ranges=ranges))
    _check_limits.limits(context)
    assert messages(context.problems) == ["claim data asks for 1Gi, LimitRange 'usual' allows max 1"]


@pytest.mark.parametrize("spec", [None, {}, {"limits": None}, {"hard": None}, {"limits": [{}]}])
def test_limits_and_quotas_that_say_nothing(spec):
    """An API server keeps a LimitRange without limits as ``limits: null``."""
    objects = [{"metadata": {"name": "usual", "namespace": "home"}, "spec": spec, "status": None}]
    context = context_of(workload(resources=LIMITED), claim(), answers=quota_answers(*objects, ranges=objects))
    _check_limits.limits(context)
    _check_limits.quota(context)
    assert context.problems == []


@pytest.mark.parametrize(
    ("version", "problems", "notes"), [("v1.34.4", 0, 0), ("v1.27.0+k3s1", 0, 0), ("v1.26.9", 1, 0), ("unknown", 0, 1)]
)
def test_oldest_version(version, problems, notes):
    context = context_of(answers={"/version": {"gitVersion": version}})
    _check_access.api(context)
    assert (len(context.problems), len(context.notes)) == (problems, notes)


def test_no_check_ends_the_others():
    """Whatever the API server refuses is noted, check by check; only its silence ends preflight."""

    class ForbiddingCluster(RecordedCluster):
        def find(self, path):
            if path == "/version":
                return {"gitVersion": "v1.34.4"}
            raise ApiError(403, {}, f"https://cluster.invalid: jane may not get {path}")

    objects = [workload(resources=asking()), claim(), autoscaler("Resource")]
    placed = [{**item, "metadata": {"namespace": "home", **item["metadata"]}} for item in objects]
    preflight = _preflight.Preflight(ForbiddingCluster({}), "home", placed, "demo")
    preflight.run()
    noted, passed = ({item["check"] for item in findings} for findings in (preflight.notes, preflight.passed))
    assert noted | passed | {item["check"] for item in preflight.problems} == {"api", *dict(_preflight.CHECKS)}
    assert {"kinds", "permissions", "storage", "capacity", "quota"} <= noted

    class SilentCluster(RecordedCluster):
        def find(self, path):
            raise Unreachable("no answer")

    with pytest.raises(Unreachable):
        _preflight.Preflight(SilentCluster({}), "home", placed, "demo").run()


def test_table_is_what_a_person_reads():
    problems = [
        {"check": "quota", "message": "too much", "way_out": "ask for less"},
        {"check": "storage", "message": "no ReadWriteMany", "way_out": "use another class"},
    ]
    notes = [{"check": "metrics", "message": "no metrics API"}]
    assert _preflight.table(problems, notes, [{}] * 9).splitlines() == [
        "2 problems, nothing was written",
        "  ✗ quota    too much          → ask for less",
        "  ✗ storage  no ReadWriteMany  → use another class",
        "  · metrics  no metrics API",
        "  ✓ 9 others passed (-v shows them)",
    ]
    assert _preflight.table([], notes, [{}] * 9) == "9 checks passed, 1 note: no metrics API"
    assert _preflight.table([], [], [{}]) == "1 check passed"
    assert _preflight.table([], notes * 2, []).splitlines()[1:] == ["  · metrics  no metrics API"] * 2
