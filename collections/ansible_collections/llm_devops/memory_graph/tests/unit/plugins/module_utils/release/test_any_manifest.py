# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever is released: a sentence or a release, no value of a Secret, no write before what could have been known."""

from __future__ import annotations

import json

from ansible_collections.llm_devops.memory_graph.plugins.module_utils import _ansible
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError, ManifestError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _result
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.api_server import ApiServer, quoting
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.examples import examples
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.json_shapes import (
    HIDDEN_WORDS,
    VALUES,
    any_manifest,
    any_text,
    plain_secret,
)
from hypothesis import given
from hypothesis import strategies as st

OBJECTS = st.lists(st.one_of(any_manifest(), any_text(), any_manifest().map(json.dumps)), max_size=4)


def shows_nothing(*lines):
    text = json.dumps(lines, default=str) + "".join(str(item) for item in lines)
    assert not [word for word in HIDDEN_WORDS if word in text]


def released(server, objects, **options):
    """The outcome or the error, with all that was told on the way."""
    lines = []
    try:
        release = Release(
            server,
            ReleaseParams("demo", "home", objects, wait=False, parallelism=1, **options),
            lambda *line: lines.append(line),
        )
        outcome = release.present()
    except ClusterError as error:
        return None, [str(error), *lines]
    changes = _result.changed_lines(outcome)
    entries = [_result.unified(entry) for entry in _result.entries(outcome)]
    answer = _result.result(outcome, server, check=False)
    return outcome, [lines, answer, changes, entries, _result.failure_text(outcome)]


@examples(200)
@given(OBJECTS | VALUES)
def test_any_manifest_is_made_ready_or_refused_in_a_sentence(objects):
    try:
        ready = prepared(objects, "demo", "home")
    except ManifestError as error:
        shows_nothing(str(error))
    else:
        json.dumps(ready, allow_nan=False)
        assert all(isinstance(item["metadata"]["name"], str) for item in ready)
    shows_nothing([_ansible._without_values(item) for item in (objects if isinstance(objects, list) else [objects])])


@examples(60)
@given(plain_secret(), st.lists(any_manifest(), max_size=1), st.sampled_from(["nothing", "at once", "late"]))
def test_any_release_ends_in_an_outcome_that_shows_nothing(secret, others, when):
    """Others refuse, and quote whatever they have seen of the Secret, in a dry run or only when it is written."""

    def refuses(manifest, dry_run):
        refused = manifest["kind"] == "Secret" and (when == "at once" or (when == "late" and not dry_run))
        return quoting(manifest) if refused and manifest["metadata"]["name"] == "victim" else ""

    server = ApiServer(refuses)
    outcome, lines = released(server, [secret, *others])
    shows_nothing(lines)
    if when == "at once":
        assert outcome is None or outcome.failures
        assert not [path for path in server.written if "/demo-release" not in path]
    if when == "nothing" and outcome is not None and not outcome.failures:
        _outcome, lines = released(server, [{**secret, "data": {"a": "b3RoZXI="}}])
        shows_nothing(lines)


@examples(40)
@given(OBJECTS)
def test_check_mode_and_the_run_agree_and_a_second_run_writes_nothing(objects):
    server = ApiServer()
    checked, _lines = released(server, objects, check=True)
    assert not server.written
    outcome, _lines = released(server, objects)
    assert (checked is None) == (outcome is None)
    if outcome is None:
        assert not server.written
        return
    assert bool(checked.failures) == bool(outcome.failures)
    if not outcome.failures:
        server.written.clear()
        again, _lines = released(server, objects)
        assert not again.differs
        assert not server.written
    else:
        assert not server.written
