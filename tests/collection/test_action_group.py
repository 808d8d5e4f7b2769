"""module_defaults reach every module that talks to a cluster, and every module is presented."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.xdist_group("documentation")
GROUP = "llm_devops.memory_graph.all"
OFFLINE = {"manifest_files", "role_arguments", "run_modules"}
"""Modules without an option that the group could set: they talk to no cluster, or by other modules."""


@pytest.fixture(scope="module")
def auth_options(collection) -> set[str]:
    """Options of the doc fragment."""
    text = (collection / "plugins/doc_fragments/auth.py").read_text()
    return set(yaml.safe_load(text.split('r"""')[1].split('"""')[0])["options"])


def test_modules_are_found(modules, collection):
    assert modules.keys() == {file.stem for file in (collection / "plugins/modules").glob("*.py")}


def test_the_group_holds_every_module_that_talks_to_a_cluster(modules, runtime):
    group = runtime["action_groups"]["all"]
    assert sorted(group) == sorted(modules.keys() - OFFLINE)


def test_modules_of_the_group_take_every_option_of_the_fragment(modules, auth_options):
    for name, documentation in modules.items():
        options = auth_options & documentation["doc"]["options"].keys()
        assert options == (set() if name in OFFLINE else auth_options), name


def test_the_readme_lists_every_plugin_and_role(plugins, collection):
    readme = (collection / "README.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)`", readme, re.MULTILINE))
    roles = {folder.name for folder in (collection / "roles").iterdir()}
    documented = {name.rpartition(".")[2] for kind, docs in plugins.items() if kind != "role" for name in docs}
    assert listed == documented | roles


def minimal_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that a module needs to reach its connection."""
    values = {"str": "x", "int": 1, "list": [], "dict": {}, "path": "x", "bool": True}
    arguments = {name: values.get(option["type"]) for name, option in options.items() if option.get("required")}
    if "port_forward" in options:
        arguments |= {"namespace": "x", "port_forward": True}
    if "credentials_secret" in options:
        arguments |= {"namespace": "x", "credentials_secret": "x"}
    if "label_selector" in options:
        arguments |= {"namespace": "x", "label_selector": "x=y"}
    if "objects" in options:
        arguments["objects"] = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}]
    return arguments


def test_module_defaults_of_the_group_reach_every_module(modules, runtime, collection, tool, tmp_path):
    """Each message names the missing kubeconfig, which only the defaults of the group set."""
    nowhere = str(tmp_path / "from-module-defaults")
    names = runtime["action_groups"]["all"]
    tasks = [
        {
            "name": name,
            f"llm_devops.memory_graph.{name}": minimal_arguments(modules[name]["doc"]["options"]),
            "register": f"result_{name}",
            "ignore_errors": True,
        }
        for name in names
    ]
    messages = ", ".join(f"'{name}': result_{name}.msg" for name in names)
    report = {
        "name": "Write the message of each module",
        "ansible.builtin.copy": {
            "dest": str(tmp_path / "answers.json"), "content": "{{ {" + messages + "} | to_json }}", "mode": "0600",
        },
    }  # fmt: skip
    play = {
        "name": "Defaults", "hosts": "localhost", "connection": "local", "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "module_defaults": {f"group/{GROUP}": {"kubeconfig": nowhere}}, "tasks": [*tasks, report],
    }  # fmt: skip
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    tool(
        tmp_path, "ansible-playbook", "-i", "localhost,", "play.yml",
        ANSIBLE_COLLECTIONS_PATH=str(collection.parents[2]),
    )  # fmt: skip
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert {name for name, message in answers.items() if nowhere in message} == set(names), answers
