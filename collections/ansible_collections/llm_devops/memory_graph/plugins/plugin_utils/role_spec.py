# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""The argument specs of a role, and a role's arguments converted by them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.common.validation import (
    check_mutually_exclusive,
    check_required_by,
    check_required_if,
    check_required_one_of,
    check_required_together,
)

from .conversion import ConversionError, SafeLoader, convert, is_blank
from .renamed_options import add_aliases

RELATIONS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "mutually_exclusive": check_mutually_exclusive,
    "required_together": check_required_together,
    "required_one_of": check_required_one_of,
    "required_if": check_required_if,
    "required_by": check_required_by,
}
"""What ansible-core knows of modules, and does not read beside the options of a role."""


class RoleSpec:
    """The argument specs of one role, read from ``meta/argument_specs.yml``."""

    def __init__(self, name: str, entry_points: Mapping[str, Mapping[str, Any]]) -> None:
        self.name = name
        self.entry_points = entry_points
        self.renamed: list[str] = []
        """A sentence for each old name of a suboption that arguments were given under."""

    @classmethod
    def of(cls, path: Path) -> RoleSpec:
        """Read the spec of the role in this folder."""
        text = (path / "meta" / "argument_specs.yml").read_text()
        entry_points = yaml.load(text, Loader=SafeLoader)["argument_specs"]  # noqa: S506 - a safe loader
        add_aliases(path.name, entry_points)
        return cls(path.name, entry_points)

    def options(self, entry_point: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the options of one entry point by name."""
        return self.entry_points[entry_point].get("options") or {}

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return a sentence for each variable with the prefix of the role that no entry point has."""
        option_names = sorted({option for entry_point in self.entry_points for option in self.options(entry_point)})
        foreign = {name for name in names if name.startswith(f"{self.name}_")} - set(option_names)
        return [self._unknown(name, option_names) for name in sorted(foreign)]

    def _unknown(self, name: str, option_names: list[str]) -> str:
        nearest = difflib.get_close_matches(name, option_names, n=1)
        return f"{name} is not a variable of role {self.name}; " + (
            f"did you mean {nearest[0]}?" if nearest else f"it has {', '.join(option_names)}"
        )

    def converted(self, entry_point: str, set_by_user: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Convert the arguments of an entry point.

        A null is the default of the spec; a required argument is neither null nor empty.

        Returns:
            The arguments by name, and a sentence for each thing that is wrong.
        """
        options = self.options(entry_point)
        arguments: dict[str, Any] = {}
        problems: list[str] = []
        for name, option in options.items():
            value = set_by_user.get(name)
            value = option.get("default") if value is None else value
            if value is None or (option.get("required") and is_blank(value)):
                continue
            try:
                arguments[name] = convert(value, option, name, self.renamed)
            except ConversionError as error:
                problems.append(str(error))
        if not problems:
            problems = self._validate(entry_point, arguments)
        return {name: arguments.get(name) for name in options}, problems

    def _validate(self, entry_point: str, arguments: dict[str, Any]) -> list[str]:
        """Validate choices, suboptions and relations as ansible-core does for modules; set defaults of suboptions."""
        options = self.options(entry_point)
        result = ArgumentSpecValidator(dict(options)).validate(arguments)
        problems = list(result.error_messages)
        set_values = {name: value for name, value in arguments.items() if not is_blank(value) and value not in ([], {})}
        for relation, check in RELATIONS.items():
            terms = self.entry_points[entry_point].get(relation)
            try:
                check(terms, set_values)
            except TypeError as error:
                problems.append(str(error))
        arguments.update(_without_nulls(result.validated_parameters, options))
        return [str(remove_values(problem, result._no_log_values)) for problem in problems]


def _without_nulls(values: Any, options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Take out what ansible-core adds for suboptions that were not given."""
    without_nulls: dict[str, Any] = {}
    for key, value in values.items():
        inner = (options.get(key) or {}).get("options")
        if value is None:
            continue
        if inner and isinstance(value, Mapping):
            without_nulls[key] = _without_nulls(value, inner)
        elif inner and isinstance(value, list):
            without_nulls[key] = [_without_nulls(item, inner) for item in value]
        else:
            without_nulls[key] = value
    return without_nulls
