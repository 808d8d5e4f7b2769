# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The brief callback shows the lines of a task that went well."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.callback.brief import labelled, lines


@pytest.mark.parametrize(
    ("result", "action", "printed"),
    [
        ({"changed": True}, "copy", []),
        ({"report": [{"label": "plan", "text": "1 to create"}]}, "x", ["plan        1 to create"]),
        ({"report": [{"label": "plan", "text": "x"}], "report_shown": True}, "x", []),
        ({"ansible_facts": {"memory_graph_report": {"label": "a", "text": "b"}}}, "set_fact", ["a           b"]),
        ({"msg": "one\ntwo"}, "ansible.builtin.debug", ["one", "two"]),
        ({"msg": ["one", "two"]}, "debug", ["one", "two"]),
        ({"msg": "hidden"}, "other", []),
        ({"report": "text of another module"}, "other", []),
    ],
)
def test_lines(result, action, printed):
    assert lines(result, action) == printed


def test_further_lines_stand_under_the_first():
    assert labelled("try", "one\ntwo") == ["try         one", "            two"]
