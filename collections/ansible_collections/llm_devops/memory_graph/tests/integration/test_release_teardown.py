# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Pruning and teardown of a release, against the real API server of KUBECONFIG."""

from __future__ import annotations

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.tests.integration.test_release import (  # noqa: F401  # pylint: disable=unused-import
    actions,
    claim,
    config,
    sandbox,
    secret,
    silent,
    workload,
)


def test_prune_deletes_what_left_and_keeps_data_and_foreign_objects(sandbox):  # noqa: F811
    sandbox.release(config(), config("old"), config("given-away"), claim())
    patch = {"metadata": {"labels": {"applyset.kubernetes.io/part-of": None}}}
    sandbox.act("PATCH", "configmaps/given-away", patch, "application/merge-patch+json")
    outcome = sandbox.release(config())
    assert {str(candidate.member.ref): candidate.action for candidate in outcome.prune_candidates} == {
        "ConfigMap/old": "pruned",
        "ConfigMap/given-away": "foreign",
        "PersistentVolumeClaim/data": "kept",
    }
    assert sandbox.get("configmaps/old") is None
    assert sandbox.get("configmaps/given-away")
    assert sandbox.get("persistentvolumeclaims/data")


def absent(sandbox, **params):  # noqa: F811
    outcome = Release(connect({}), sandbox.params(**params), silent).absent()
    assert not outcome.failures
    return outcome


def test_absent_keeps_data_and_knows_it_when_told_to_delete_it(sandbox):  # noqa: F811
    sandbox.release(config(), secret(), claim())
    absent(sandbox)
    assert sandbox.get("configmaps/settings") is None
    assert sandbox.get("persistentvolumeclaims/data")
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}")["status"]["phase"] == "Active"
    again = absent(sandbox)
    assert not again.differs
    assert {str(candidate.member.ref): candidate.action for candidate in again.prune_candidates} == {
        f"Namespace/{sandbox.name}": "kept",
        "PersistentVolumeClaim/data": "kept",
    }
    absent(sandbox, delete_data=True)
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_absent_deletes_the_record_with_the_last_member(sandbox):  # noqa: F811
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, sandbox.namespace)
    Release(connect({}), ReleaseParams("demo", sandbox.name, [config(), claim()]), silent).present()
    absent(sandbox)
    assert sandbox.get("secrets/demo-release")
    absent(sandbox, delete_data=True)
    assert sandbox.get("persistentvolumeclaims/data") is None
    assert sandbox.get("secrets/demo-release") is None


def test_what_was_kept_is_adopted_by_the_next_release(sandbox):  # noqa: F811
    sandbox.release(config(), claim())
    uid = sandbox.get("persistentvolumeclaims/data")["metadata"]["uid"]
    absent(sandbox)
    outcome = sandbox.release(config(), claim())
    assert actions(outcome) == {
        f"Namespace/{sandbox.name}": "unchanged",
        "ConfigMap/settings": "created",
        "PersistentVolumeClaim/data": "unchanged",
    }
    assert (outcome.record.revision, outcome.record.state) == (2, "deployed")
    assert [past["state"] for past in outcome.record.history] == ["uninstalled"]
    assert sandbox.get("persistentvolumeclaims/data")["metadata"]["uid"] == uid
