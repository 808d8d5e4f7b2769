# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Custom resources, and kinds without a rule of their own, by their conditions."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._kinds import (
    judge,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._verdict import UNSEEN
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.kinds.statuses import (
    conditions,
    custom,
)


@pytest.mark.parametrize(
    ("obj", "verdict"),
    [
        (custom(), ("ready", "")),
        (custom(**conditions(Ready="True")), ("ready", "")),
        (custom(**conditions(Ready="False")), ("progressing", "R: m")),
        (custom(**conditions(Ready="Unknown")), ("progressing", "R: m")),
        (custom(**conditions(Available="True")), ("ready", "")),
        (custom(**conditions(Stalled="True", Ready="False")), ("failed", "R: m")),
        (custom(**conditions(Stalled="False", Ready="True")), ("ready", "")),
        (custom(**conditions(Reconciling="True", Ready="True")), ("progressing", "R: m")),
        (custom(observedGeneration=1, **conditions(Ready="True")), ("progressing", UNSEEN)),
        (custom(observedGeneration=1, **conditions(Stalled="True")), ("progressing", UNSEEN)),
        (custom(observedGeneration="1", **conditions(Ready="True")), ("progressing", UNSEEN)),
        (custom(observedGeneration="2", **conditions(Ready="True")), ("ready", "")),
        (custom(observedGeneration="7c5bdc4f9", phase="Healthy"), ("ready", "")),
        (custom(observedGeneration=None), ("ready", "")),
        ({**custom(), "status": "Active"}, ("ready", "")),
        ({**custom(), "status": ["Active"]}, ("ready", "")),
        (custom(conditions={"Ready": "True"}), ("ready", "")),
        (custom(conditions=["Ready"]), ("ready", "")),
        (custom(conditions=[None, {"type": "Ready", "status": "False", "reason": "R"}]), ("progressing", "R")),
        (custom(conditions=[{"type": "Ready", "status": "True", "observedGeneration": "x"}]), ("ready", "")),
        (custom(observedGeneration=2, **conditions(Ready="True")), ("ready", "")),
        (
            custom(conditions=[{"type": "Ready", "status": "True", "observedGeneration": 1}]),
            ("progressing", UNSEEN),
        ),
        (custom("external-secrets.io/v1", "ExternalSecret"), ("progressing", UNSEEN)),
        (custom("external-secrets.io/v1", "ExternalSecret", **conditions(Ready="False")), ("progressing", "R: m")),
        (custom("external-secrets.io/v1", "ExternalSecret", **conditions(Ready="True")), ("ready", "")),
        (custom("serving.knative.dev/v1", "Service", **conditions(Ready="False")), ("progressing", "R: m")),
        (custom("v1", "ConfigMap"), ("ready", "")),
        (custom("apiextensions.k8s.io/v1", "CustomResourceDefinition"), ("progressing", "establishing")),
        (
            custom("apiextensions.k8s.io/v1", "CustomResourceDefinition", **conditions(Established="True")),
            ("ready", "established"),
        ),
        (
            custom("apiextensions.k8s.io/v1", "CustomResourceDefinition", **conditions(NamesAccepted="False")),
            ("failed", "R: m"),
        ),
    ],
)
def test_by_conditions(obj, verdict):
    assert judge(obj) == verdict
