"""Everything in PLUGIN_DIRS loads, or the start fails with one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memory_graph.plugins import PluginLoadError, load_plugins
from memory_graph.plugins.loading import split_directories


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_this_name", r"import raised ModuleNotFoundError: .*; correct it, or take the file out"),
        ("def broken(:", r"import raised SyntaxError"),
        ("raise SystemExit(3)", r"import raised SystemExit: 3"),
        ("x = 1", r"no class derives from memory_graph.plugins.Plugin; add one"),
        ("class A(Plugin): pass", r"A.name is None; it must be"),
        ("class A(Plugin):\n    name = 'Not Good'", r"A.name is 'Not Good'"),
        ("class A(Plugin):\n    name = 'a'\n    priority = 'high'", r"A.priority is 'high'; it must be a number"),
        (
            "class A(Plugin):\n    name = 'a'\n    def before_creat_node(self, c, n): ...",
            r"before_creat_node is no hook",
        ),
        ("class A(Plugin):\n    name = 'a'\n    def before_query(self, c): ...", r"must take exactly \(self, context"),
        ("class A(Plugin):\n    name = 'a'\n    def __init__(self): 1 / 0", r"A\(\) raised ZeroDivisionError"),
        ("class A(Plugin): name = 'a'\nclass B(Plugin): name = 'a'", r"named 'a' is loaded already"),
    ],
)
def test_names_file_reason_and_way_out(load, tmp_path, source, reason):
    with pytest.raises(PluginLoadError, match=reason) as failure:
        load(source)
    assert str(failure.value).startswith(f"plugin file {tmp_path / 'plugin_0.py'}: ")
    assert "\n" not in str(failure.value)


def test_a_missing_directory_stops_the_start(metrics, tmp_path):
    with pytest.raises(PluginLoadError, match=r"absent: No such file or directory; create it, or take it out"):
        load_plugins([tmp_path / "absent"], 1, metrics)


def test_leaves_out_what_is_no_plugin_file(load, tmp_path):
    (tmp_path / "_shared.py").write_text("raise RuntimeError")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "__pycache__").mkdir()
    assert [plugin.name for plugin in load("class A(Plugin): name = 'a'").plugins] == ["a"]


def test_splits_directories_by_comma_or_path_separator():
    assert split_directories(f"/a, /b{os.pathsep}/c,") == [Path("/a"), Path("/b"), Path("/c")]
    assert split_directories("") == []
