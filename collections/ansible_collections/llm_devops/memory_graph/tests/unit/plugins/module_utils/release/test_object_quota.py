# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The sum of what a release creates is held against the quotas before anything is written."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Resource
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import Ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _object_quota
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._history import ReleaseRecord
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step

NEW, OLD = ReleaseRecord("demo", "home"), ReleaseRecord("demo", "home", 3, "deployed")


class QuotaCluster:
    def __init__(self, hard, used, **spec):
        metadata = {"name": "team"}
        self.quotas = [{"metadata": metadata, "spec": {"hard": hard, **spec}, "status": {"used": used}}]

    def list(self, path):
        assert path == "/api/v1/namespaces/home/resourcequotas"
        if isinstance(self.quotas, Exception):
            raise self.quotas
        return self.quotas


def step(kind, name, group="", action="created", **spec):
    version = f"{group}/v1" if group else "v1"
    resource = Resource(version, kind, f"{kind.lower()}s", True, frozenset())
    manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "home"}, "spec": spec}
    return Step(manifest, Ref(group, kind, "home", name), resource, action=action)


def refused(cluster, *steps, record=OLD, absent=()):
    _object_quota.check(cluster, list(steps), record, set(absent), 1)
    return [f"{step.ref}: {step.error}" for step in steps if step.error]


@pytest.mark.parametrize("resource", ["count/configmaps", "configmaps"])
def test_what_does_not_fit_together_is_refused(resource):
    cluster = QuotaCluster({resource: "3"}, {resource: "2"})
    assert refused(cluster, step("ConfigMap", "a")) == []
    assert refused(cluster, step("ConfigMap", "a"), step("ConfigMap", "b", action="configured")) == []
    [sentence] = refused(cluster, step("ConfigMap", "a"), step("ConfigMap", "b"))
    assert sentence.startswith(
        f"ConfigMap/b: ConfigMap/b does not fit: the release brings 2 of {resource}, ResourceQuota 'team'"
    )
    assert "leaves 1 — raise the quota" in sentence


def test_the_release_s_own_record_counts():
    cluster = QuotaCluster({"secrets": "5"}, {"secrets": "2"})
    assert refused(cluster, step("Secret", "a"), step("Secret", "b"), record=OLD) == []
    [sentence] = refused(cluster, step("Secret", "a"), step("Secret", "b"), record=NEW)
    assert "brings 4 of secrets, 2 for its record among them" in sentence


@pytest.mark.parametrize(
    ("resource", "step"),
    [
        ("count/deployments.apps", step("Deployment", "d", "apps")),
        ("services.nodeports", step("Service", "s", type="NodePort", ports=[{"port": 1}])),
        ("services.loadbalancers", step("Service", "s", type="LoadBalancer")),
        ("requests.storage", step("PersistentVolumeClaim", "c", resources={"requests": {"storage": "1Gi"}})),
        ("fast.storageclass.storage.k8s.io/persistentvolumeclaims",
         step("PersistentVolumeClaim", "c", storageClassName="fast")),
    ],
)  # fmt: skip
def test_all_that_is_charged_at_once_is_counted(resource, step):
    assert refused(QuotaCluster({resource: "1"}, {resource: "1"}), step)


def test_what_is_not_known_stops_nothing():
    odd = QuotaCluster({"configmaps": "x"}, {"configmaps": None})
    assert refused(odd, step("ConfigMap", "a")) == []
    scoped = QuotaCluster({"pods": "0"}, {"pods": "0"}, scopes=["BestEffort"])
    assert refused(scoped, step("Pod", "a")) == []
    odd.quotas = ApiError(403, {}, "you may not")
    assert refused(odd, step("ConfigMap", "a")) == []
    assert refused(QuotaCluster({"requests.storage": "1"}, {"requests.storage": "0"}),
                   step("PersistentVolumeClaim", "c", resources="lots")) == []  # fmt: skip


def test_a_quota_that_the_release_raises_counts_as_it_will_be():
    cluster = QuotaCluster({"configmaps": "0"}, {"configmaps": "0"})
    raised = step("ResourceQuota", "team", action="configured", hard={"configmaps": "1"})
    assert refused(cluster, raised, step("ConfigMap", "a")) == []


def test_a_quota_of_a_new_namespace_refuses_objects_of_later_waves():
    quota = step("ResourceQuota", "team", hard={"count/services": "1", "configmaps": "0", "secrets": "2"})
    assert refused(None, quota, step("Service", "a"), absent={"home"}) == []
    [sentence] = refused(None, quota, step("Service", "a"), step("Service", "b"), absent={"home"})
    assert sentence.startswith("Service/b: Service/b does not fit: the release brings 2 of count/services")
    assert "'team' in home leaves 1" in sentence
    beside = [step("ConfigMap", "before-it-perhaps"), step("Secret", "a")]
    assert refused(None, quota, *beside, record=NEW, absent={"home"}) == []
