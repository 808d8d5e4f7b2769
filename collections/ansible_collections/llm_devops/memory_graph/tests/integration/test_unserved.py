# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A CustomResourceDefinition stops serving the version that a release was made in."""

from __future__ import annotations

import uuid

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SCHEMA = {"openAPIV3Schema": {"type": "object", "properties": {
    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}  # fmt: skip


class Doodads:
    def __init__(self, sandbox):
        self.sandbox, self.group = sandbox, f"x{uuid.uuid4().hex[:8]}.example.dev"

    def definition(self, *served):
        versions = [
            {"name": name, "served": name in served, "storage": name == "v1", "schema": SCHEMA}
            for name in ("v1alpha1", "v1")
        ]
        names = {"kind": "Doodad", "plural": "doodads", "singular": "doodad"}
        spec = {"group": self.group, "scope": "Namespaced", "names": names, "versions": versions}
        metadata = {"name": f"doodads.{self.group}"}
        return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata,
                "spec": spec}  # fmt: skip

    def object(self, name, version="v1alpha1"):
        return {"apiVersion": f"{self.group}/{version}", "kind": "Doodad", "metadata": {"name": name},
                "spec": {"size": 1}}  # fmt: skip

    def names(self):
        path = f"/apis/{self.group}/v1/namespaces/{self.sandbox.name}/doodads"
        return sorted(item["metadata"]["name"] for item in self.sandbox.cluster.list(path))


@pytest.fixture
def doodads(sandbox):
    new_kind = Doodads(sandbox)
    yield new_kind
    new_kind.sandbox.cluster.delete(f"{CRDS}/doodads.{new_kind.group}")


def test_what_left_is_pruned_also_when_the_run_stops_serving_its_version(sandbox, doodads):
    sandbox.release(doodads.definition("v1alpha1", "v1"), doodads.object("one"), doodads.object("two"))
    outcome = sandbox.release(doodads.definition("v1"), doodads.object("one", "v1"))
    assert not outcome.failures
    assert doodads.names() == ["one"]
    back = sandbox.release(revision=1)
    assert not back.failures
    assert doodads.names() == ["one", "two"]


def test_nothing_is_forgotten_while_no_version_is_served(sandbox, doodads):
    sandbox.release(doodads.definition("v1alpha1", "v1"), doodads.object("one"))
    path = f"{CRDS}/doodads.{doodads.group}"
    for served in ((), ("v1",)):
        patch = {"spec": {"versions": doodads.definition(*served)["spec"]["versions"]}}
        sandbox.edit(path, patch)
        if not served:
            with pytest.raises(ClusterError, match="serves no version of Doodad"):
                sandbox.run(objects=[]).absent()
            assert sandbox.get("secrets/demo-release")
    outcome = sandbox.run(objects=[], delete_data=True).absent()
    assert not outcome.failures
    assert sandbox.cluster.find(path) is None
