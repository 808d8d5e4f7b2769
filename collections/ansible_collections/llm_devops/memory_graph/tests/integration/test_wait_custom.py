# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Waits for custom resources, against the real API server of KUBECONFIG."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.tests.integration.test_wait import (  # noqa: F401  # pylint: disable=unused-import
    LONG,
    definition,
    obj,
    ready,
    sandbox,
)


def condition(kind, status, **more):
    return {"type": kind, "status": status, "reason": "Because", "message": "of this", **more}


@pytest.fixture
def widget(sandbox):  # noqa: F811
    """A custom resource of a kind defined for this test."""
    defined = sandbox.wait(definition(sandbox))
    assert list(ready(defined).values()) == ["established"]
    return obj(f"{sandbox.name}.example.dev/v1", "Widget", "demo", {"size": 1})


def test_a_custom_resource_is_awaited_by_its_conditions(sandbox, widget):  # noqa: F811
    sandbox.apply(widget)
    sandbox.patch_status(widget, observedGeneration=1, conditions=[condition("Ready", "False")])
    ready_now = [condition("Ready", "True")]
    sandbox.callbacks["Because: of this"] = lambda: sandbox.patch_status(
        widget, observedGeneration=2, conditions=ready_now
    )
    status = sandbox.wait({**widget, "spec": {"size": 1}})["Widget/demo"]
    assert status.state == "ready"
    assert status.trail == ["Because: of this", "ready"]


def test_what_the_controller_said_of_an_older_generation_does_not_count(sandbox, widget):  # noqa: F811
    sandbox.apply(widget)
    sandbox.patch_status(widget, observedGeneration=1, conditions=[condition("Ready", "True")])
    sandbox.callbacks["not seen by its controller yet"] = lambda: sandbox.patch_status(widget, observedGeneration=2)
    status = sandbox.wait({**widget, "spec": {"size": 2}})["Widget/demo"]
    assert status.state == "ready"
    assert status.trail[0] == "not seen by its controller yet"


def test_a_stalled_custom_resource_ends_the_wait(sandbox, widget):  # noqa: F811
    sandbox.apply(widget)
    sandbox.patch_status(widget, observedGeneration=1, conditions=[condition("Reconciling", "True")])
    stalled = [condition("Reconciling", "False"), condition("Stalled", "True")]
    sandbox.callbacks["Because: of this"] = lambda: sandbox.patch_status(
        widget, observedGeneration=1, conditions=stalled
    )
    status = sandbox.wait({**widget})["Widget/demo"]
    assert (status.state, status.reason) == ("failed", "Because: of this")
    assert status.seconds < LONG / 2
