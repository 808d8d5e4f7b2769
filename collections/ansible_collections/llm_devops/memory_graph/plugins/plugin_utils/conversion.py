# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Conversion of one value to the type that an argument spec names for it.

ansible-core checks the arguments of a role and leaves them as they are, so what the command line or a survey gives as
text stays a text. Here it becomes the list, mapping, number or truth value that is meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.validation import (
    check_type_bool,
    check_type_dict,
    check_type_float,
    check_type_int,
    check_type_jsonarg,
    check_type_path,
)

MAX_SHOWN = 60
"""Characters of a value that an error shows."""
EXPECTED = {
    "bool": "give true or false",
    "dict": 'give a mapping, as {"key": "value"}',
    "float": "give a number",
    "int": "give a whole number",
    "list": 'give a list, as ["a", "b"] or a,b',
    "list of dict": 'give a list of mappings, as [{"key": "value"}]',
    "list of list": 'give a list of lists, as [["a", "b"]]',
    "path": "give the path of a file",
    "str": "give a text",
}
YAML_LIST = re.compile(r"\s*(\[|-\s)")
YAML_MAPPING = re.compile(r"\s*\{|[^=\s]+:(\s|$)")

SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
BaseLoader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class ConversionError(ValueError):
    """A value that is not of its type; the message is one sentence with its name."""


def is_blank(value: Any) -> bool:
    """Whether a value is null or a text without a character."""
    return value is None or (isinstance(value, str) and not value.strip())


def convert(value: Any, option: Mapping[str, Any], name: str, renamed: list[str] | None = None) -> Any:
    """Convert `value`, which is not null, to the type of `option` and its suboptions.

    A suboption may have ``aliases``, which are its old names. A sentence for each that is used is added to `renamed`.

    Raises:
        ConversionError: when it is of another type.
    """
    kind = str(option.get("type", "str"))
    try:
        converted = CONVERTERS.get(kind, _unchanged)(value, option)
    except (TypeError, ValueError, OverflowError, ArithmeticError) as error:
        excerpt = "of another type" if option.get("no_log") else _excerpt(value)
        expected = EXPECTED.get(f"{kind} of {option.get('elements')}") or EXPECTED.get(kind, f"give a {kind}")
        raise ConversionError(f"{name} is {excerpt}: {expected}") from error
    if kind == "list":
        return [_element(item, option, f"{name}[{index}]", renamed) for index, item in enumerate(converted)]
    return _suboptions(converted, option, name, renamed) if kind == "dict" else converted


def _excerpt(value: Any) -> str:
    if is_blank(value):
        return "empty"
    if isinstance(value, str):
        text = " ".join(value.split())
        return f"'{text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + '…'}'"
    if isinstance(value, (bool, int, float)):
        return str(value).lower()[:MAX_SHOWN]
    return "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else type(value).__name__


def _element(item: Any, option: Mapping[str, Any], name: str, renamed: list[str] | None) -> Any:
    if item is None:
        raise ConversionError(f"{name} is null: take it out, or give a value")
    element = {key: value for key, value in option.items() if key in ("no_log", "options")}
    return convert(item, element | {"type": option["elements"]}, name, renamed) if option.get("elements") else item


def _suboptions(
    mapping: dict[str, Any], option: Mapping[str, Any], name: str, renamed: list[str] | None
) -> dict[str, Any]:
    """Convert the values that have a spec of their own; a null is a value not given."""
    options = option.get("options")
    if not options:
        return mapping
    current = {alias: key for key, suboption in options.items() for alias in suboption.get("aliases", ())}
    values: dict[str, Any] = {}
    for given_key, value in mapping.items():
        if value is None:
            continue
        key = current.get(given_key, given_key)
        if key != given_key and renamed is not None:
            renamed.append(f"{name}.{given_key} is called {key} now")
        values[key] = convert(value, options[key], f"{name}.{key}", renamed) if key in options else value
    return values


def _unchanged(value: Any, _option: Mapping[str, Any]) -> Any:
    return value


def _text(value: Any, _option: Mapping[str, Any]) -> str:
    """A number is its digits. What YAML made of an unquoted yes or no is not the text that was written."""
    if isinstance(value, (bool, Mapping, list, tuple)):
        raise TypeError
    return value if isinstance(value, str) else str(value)


def _path(value: Any, option: Mapping[str, Any]) -> str:
    """An absolute path; a relative one is of the folder that ansible-playbook was started in."""
    return str(Path(check_type_path(_text(value, option))).absolute()) if not is_blank(value) else ""


def _boolean(value: Any, _option: Mapping[str, Any]) -> bool:
    return bool(check_type_bool(value.strip() if isinstance(value, str) else value))


def _integer(value: Any, _option: Mapping[str, Any]) -> int:
    if isinstance(value, bool):
        raise TypeError
    return int(check_type_int(value.strip() if isinstance(value, str) else value))


def _float(value: Any, _option: Mapping[str, Any]) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(check_type_float(value))


def _mapping(value: Any, _option: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping, JSON or YAML that is one, or ``key=value`` pairs between commas or blanks."""
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, str):
        raise TypeError
    if not value.strip():
        return {}
    if YAML_MAPPING.match(value):
        read = _read(value, SafeLoader)
        if isinstance(read, dict):
            return read
        raise TypeError
    return dict(check_type_dict(value))


def _list(value: Any, option: Mapping[str, Any]) -> list[Any]:
    """A list, JSON or YAML that is one, or texts between commas or on lines of their own."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (bool, Mapping)) or value is None:
        raise TypeError
    elements = option.get("elements")
    if not isinstance(value, str):
        return [value]
    if not value.strip():
        return []
    if YAML_LIST.match(value):
        read = _read(value, BaseLoader if elements in ("str", "path") else SafeLoader)
        if isinstance(read, list):
            return read
    if elements in ("dict", "list"):
        read = _read(value, SafeLoader) if YAML_MAPPING.match(value) else None
        if isinstance(read, dict) and elements == "dict":
            return [read]
        raise TypeError
    return [item.strip() for item in re.split(r"[,\n]", value) if item.strip()]


def _read(text: str, loader: Any) -> Any:
    """JSON first, which may have tabs; then YAML. A text that is neither is none."""
    try:
        read = json.loads(text)
    except ValueError:
        try:
            # libyaml takes no subclass of a text, which ansible-core's tagged ones are
            return yaml.load(text.encode(), Loader=loader)  # noqa: S506 - one of the two loaders that make no objects
        except yaml.YAMLError:
            return None
    return read


CONVERTERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "bool": _boolean,
    "dict": _mapping,
    "float": _float,
    "int": _integer,
    "json": lambda value, _option: check_type_jsonarg(value),
    "list": _list,
    "path": _path,
    "str": _text,
}
