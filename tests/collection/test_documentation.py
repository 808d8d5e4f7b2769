"""The published documentation: complete, rendered without a warning, with examples that the modules accept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

pytestmark = pytest.mark.xdist_group("documentation")
TEMPLATED = re.compile(r"\{\{.*\}\}", re.DOTALL)
STAND_INS = {"str": "x", "path": "x", "int": 1, "float": 1.0, "bool": True, "list": [], "dict": {}, "raw": "x"}
"""Values of the right type for arguments from variables of a playbook."""
CONF = """
project = "memory graph"
extensions = ["sphinx_antsibull_ext"]
html_theme = "basic"
"""
ANSIBLE_LABELS = """
.. _action_plugins:
.. _callback_plugins:
.. _ansible_configuration_settings:
.. _common_return_values:
.. _ansible_collections.ansible.builtin.debug_module:
.. _ansible_collections.ansible.builtin.default_callback:

Labels of the documentation of Ansible
======================================
"""
"""Labels of other documentation that our pages refer to; sphinx would fetch them from Ansible's site."""


def argument_spec(options: dict[str, Any]) -> dict[str, Any]:
    """Return the argument spec of documented options; ansible-test proves that the two agree."""
    spec: dict[str, Any] = {}
    for name, option in options.items():
        spec[name] = {
            key: option[key] for key in ("type", "elements", "choices", "required", "aliases") if key in option
        }
        if option.get("suboptions"):
            spec[name]["options"] = argument_spec(option["suboptions"])
    return spec


def examples(modules: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the module and the arguments of each task in the examples."""
    prefix = "llm_devops.memory_graph."
    tasks = [task for doc in modules.values() for task in yaml.safe_load(doc["examples"])]
    return [(key.removeprefix(prefix), task[key]) for task in tasks for key in task if key.startswith(prefix)]


def test_every_module_is_documented_to_the_end(modules):
    for name, documentation in modules.items():
        assert documentation["examples"].strip(), name
        assert documentation["return"], name
        assert documentation["doc"]["version_added_collection"] == "llm_devops.memory_graph"
        for returned in documentation["return"].values():
            assert {"description", "returned", "type"} <= returned.keys(), name


def test_every_module_shows_itself_in_its_examples(modules):
    module_names = {name for name, _ in examples(modules)}
    assert module_names == modules.keys()
    for name, documentation in modules.items():
        for task in yaml.safe_load(documentation["examples"]):
            assert task.get("name"), f"an example of {name} has a task without a name"


def test_examples_are_what_the_modules_take(modules):
    for name, arguments in examples(modules):
        options = modules[name]["doc"]["options"]
        values = {
            key: STAND_INS[options[key]["type"]]
            if key in options and isinstance(value, str) and TEMPLATED.search(value)
            else value
            for key, value in (arguments or {}).items()
        }
        assert ArgumentSpecValidator(argument_spec(options)).validate(values).error_messages == [], name


@pytest.fixture(scope="module")
def pages(collection, tool, tmp_path_factory) -> Path:
    """The documentation as reStructuredText, by antsibull-docs."""
    folder = tmp_path_factory.mktemp("pages")
    output = tool(
        folder, "antsibull-docs", "collection", "--use-current", "--fail-on-error", "--squash-hierarchy",
        "--dest-dir", folder, "llm_devops.memory_graph", ANSIBLE_COLLECTIONS_PATH=str(collection.parents[2]),
    )  # fmt: skip
    assert "warning" not in output.lower()
    return folder


def test_every_plugin_role_and_option_has_its_place(pages, plugins, collection):
    documented = {(kind, name.rpartition(".")[2]) for kind, docs in plugins.items() for name in docs}
    roles = {("role", folder.name) for folder in (collection / "roles").iterdir()}
    assert roles <= documented
    for kind, name in documented:
        text = (pages / f"{name}_{kind}.rst").read_text()
        documentation = plugins[kind][f"llm_devops.memory_graph.{name}"]
        entries = documentation["entry_points"] if kind == "role" else {"": documentation["doc"]}
        for entry, spec in entries.items():
            anchors = [f"parameter-{entry}--{option}" if entry else f"parameter-{option}" for option in spec["options"]]
            assert [anchor for anchor in anchors if f'id="{anchor}"' not in text] == [], name


def test_pages_become_html_without_a_warning(pages, tool, tmp_path):
    (tmp_path / "conf.py").write_text(CONF)
    for page in pages.glob("*.rst"):
        (tmp_path / page.name).write_text(page.read_text())
    (tmp_path / "ansible.rst").write_text(ANSIBLE_LABELS)
    (tmp_path / "index.rst").write_text("Collection\n==========\n\n.. toctree::\n   :glob:\n\n   *\n")
    tool(tmp_path, "sphinx-build", "-q", "-W", "--keep-going", "-b", "html", ".", "html")
    assert (tmp_path / "html/release_module.html").stat().st_size > 10_000
