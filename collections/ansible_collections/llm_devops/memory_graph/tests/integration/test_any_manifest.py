# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Generated manifests on a real API server: an outcome or a sentence, and no value of a Secret in it."""

from __future__ import annotations

import json

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _result
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.json_shapes import (
    HIDDEN_WORDS,
    any_manifest,
    any_text,
    plain_secret,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = 15
NAMESPACED = any_manifest().filter(lambda item: item["kind"] not in ("ClusterRole", "Gadget", "Thing"))


def own_namespace(manifest, name):
    """Return the manifest, moved to the namespace in which the test may write."""
    metadata = dict(manifest["metadata"])
    if metadata.get("namespace") == "home":
        metadata["namespace"] = name
    return {**manifest, "metadata": metadata}


def test_no_manifest_crashes_a_release_or_shows_a_secret(sandbox):
    seen = {"refused": 0, "failed": 0, "done": 0}

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.lists(NAMESPACED | any_text() | plain_secret(), min_size=1, max_size=3))
    def released(objects):
        given_objects = [item if isinstance(item, str) else own_namespace(item, sandbox.name) for item in objects]
        run = sandbox.run(*given_objects, wait=False)
        try:
            outcome = run.present()
        except ClusterError as error:
            seen["refused"] += 1
            text = str(error)
        else:
            seen["failed" if outcome.failures else "done"] += 1
            reports = [_result.changed_lines(outcome), _result.result(outcome, run.cluster, check=False)]
            text = _result.failure_text(outcome) + json.dumps(reports, default=str)
            if outcome.failures:
                assert not outcome.wrote, outcome.failures
        text += "".join(sandbox.progress_lines)
        assert not [word for word in HIDDEN_WORDS if word in text]

    released()
    assert sum(seen.values()) >= EXAMPLES // 2, seen
