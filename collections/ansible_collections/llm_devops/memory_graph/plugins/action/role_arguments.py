# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Converts the arguments of a role and evaluates what follows from them, in one task and without a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible.utils.display import Display

from ..plugin_utils.quantities import faults
from ..plugin_utils.role_spec import RoleSpec

OLD_NAMES_END = "The old name is read until llm_devops.memory_graph 1.0.0."
CLUSTER = ("kubeconfig", "context")

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]
    """Checks the arguments of a role and returns them in the result.

    Variables of the command line cannot be overridden, so their converted values are kept beside them.
    """

    _requires_connection = False
    _supports_check_mode = True
    supports_raw_params = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "entry_point": {"type": "str", "default": "main"},
                "facts": {"type": "list", "elements": "str", "default": []},
                "problems": {"type": "str"},
                "quantities": {"type": "str"},
                "components": {"type": "str"},
                "values": {"type": "dict", "default": {}},
            },
        )
        if self._task._role is None:
            raise AnsibleActionFail("role_arguments converts the arguments of a role: make it a task of one")
        role = Role(Path(self._task._role._role_path), self._templar, self._loader, task_vars or {})
        try:
            answer = self._answer(role, options)
        except RoleError as error:
            return {**result, "failed": True, "msg": str(error)}
        # what is private in the arguments is private in what follows from them
        return {**result, "changed": False, "_ansible_no_log": True, **answer}

    def _answer(self, role: Role, options: Mapping[str, Any]) -> dict[str, Any]:
        role.refuse_unknown(options["facts"])
        role.convert(options["entry_point"])
        quantities = role.value(options["quantities"]) if options["quantities"] else []
        problems = [problem for name in quantities for problem in faults(name, role.arguments.get(name))]
        role.refuse(problems + (role.value(options["problems"]) if options["problems"] else []))
        if options["components"]:
            role.describe(options["components"])
        values = {key: role.value(name) for key, name in options["values"].items()}
        return {"arguments": role.public_arguments, "cluster": role.cluster, **values}


class RoleError(Exception):
    """Arguments that cannot work; the message is a sentence for each thing that is wrong."""


class Role:
    """The variables of a role, which are those of the task with the arguments converted."""

    def __init__(self, path: Path, templar: Templar, loader: DataLoader, variables: Mapping[str, Any]) -> None:
        self.path, self.spec = path, RoleSpec.of(path)
        self.variables = dict(variables)
        self.arguments: dict[str, Any] = {}
        self.public_arguments: dict[str, Any] = {}
        self._templar, self._loader = templar, loader

    def value(self, name: str) -> Any:
        """Evaluate a variable."""
        try:
            return self._evaluate(self.variables[name])
        except KeyError:
            raise AnsibleActionFail(f"{name} is not a variable of role {self.spec.name}") from None

    def _evaluate(self, template: Any) -> Any:
        return self._templar.copy_with_new_env(available_variables=self.variables).template(template)

    @staticmethod
    def refuse(problems: list[str]) -> None:
        """Raise RoleError when there are problems."""
        if problems:
            raise RoleError(" — ".join(str(problem) for problem in problems))

    def refuse_unknown(self, facts: list[str]) -> None:
        """Refuse variables with the prefix of the role that it does not have; `facts` are those it sets."""
        if unknown := self.spec.unknown(set(self.variables) - set(facts)):
            raise RoleError("\n".join(unknown))

    def convert(self, entry_point: str) -> None:
        """Convert the arguments of the entry point; from here on every value is one of the converted."""
        options = self.spec.options(entry_point)
        defaults = self._read("defaults")
        set_values, problems = {}, []
        for name in options.keys() & defaults.keys():
            if self.variables.get(name) is None:  # another's default may be made of it
                self.variables[name] = defaults[name]
        for name in options:
            try:
                value = self._evaluate(self.variables.get(name))
                set_values[name] = self._evaluate(defaults.get(name)) if value is None else value
            except AnsibleError as error:
                problems.append(f"{name} cannot be evaluated: {error.message}")
        arguments, wrong = self.spec.converted(entry_point, set_values)
        for sentence in self.spec.renamed if constants.DEPRECATION_WARNINGS else []:
            # of a result without a log Ansible would show no warning
            text = f"[DEPRECATION WARNING]: {sentence}. {OLD_NAMES_END}"
            display.display(text, color=constants.COLOR_DEPRECATE, stderr=True)
        self.refuse(problems + wrong)
        self.arguments = arguments
        self.public_arguments = {
            self._bare(name): value for name, value in arguments.items() if not options[name].get("no_log")
        }
        self.variables.update({name: value for name, value in arguments.items() if value is not None})
        self.variables["role_arguments"] = {self._bare(name): value for name, value in arguments.items()}

    @property
    def cluster(self) -> dict[str, Any]:
        """The arguments that say which cluster is meant, those that are set; modules take them as they are."""
        return {name: value for name in CLUSTER if (value := self.public_arguments.get(name))}

    def _bare(self, name: str) -> str:
        """Return the name of an argument without the prefix of the role."""
        return name.removeprefix(f"{self.spec.name}_")

    def describe(self, components: str) -> None:
        """Evaluate the results of other roles; all their objects are ``component_objects`` then."""
        objects: list[Any] = []
        for component in self.variables[components]:
            if not self._evaluate(component.get("when", True)):
                continue
            for name, value in self._results(component["role"], self._evaluate(component["vars"])):
                self.variables[name] = value
                objects += value if name.endswith("_objects") else []
        self.variables["component_objects"] = objects

    def _results(self, name: str, variables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield the facts that another role of the collection sets with these variables, without a task of it."""
        path = self.path.parent / name
        its = {"ansible_search_path": [str(path)], "role_path": str(path), **variables}
        role = Role(path, self._templar, self._loader, its)
        role.convert("main")
        role.variables.update(role._read("vars"))
        yield from role.value(f"__{name}_results").items()

    def _read(self, folder: str) -> dict[str, Any]:
        """Read ``main.yml`` or all files of ``main/``, whose templates are trusted as the role's own are."""
        files = [*(self.path / folder).glob("main.yml"), *sorted((self.path / folder / "main").glob("*.yml"))]
        variables: dict[str, Any] = {}
        for file in files:
            variables |= self._loader.load_from_file(str(file), trusted_as_template=True) or {}
        return variables
