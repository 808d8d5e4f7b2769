"""Variables of the roles, from their argument specs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.reference.markdown import code, document, paragraph, table

_ROOT = Path(__file__).parents[2]
_COLLECTION = "collections/ansible_collections/llm_devops/memory_graph/roles"
_MARKUP = re.compile(r"\b[A-Z]\(([^)]*)\)")


def page() -> str:
    """The page: each role with its entry points and variables."""
    sections = [text for folder in (_COLLECTION, "roles") for text in _sections(_ROOT / folder)]
    return document(
        "Role variables",
        "each role's `meta/argument_specs.yml`",
        paragraph(
            "The roles of the collection come first, `memory_graph` being the one that deploys everything; those of"
            " this checkout follow. Text is converted to the type of its variable, so that `-e name=value` works for"
            " all of them; an unknown variable is refused by name. `ansible-doc -t role` shows the same."
        ),
        *sections,
    )


def _sections(folder: Path) -> Iterator[str]:
    names = sorted(path.parts[-3] for path in folder.glob("*/meta/argument_specs.yml"))
    for name in sorted(names, key=lambda name: name != "memory_graph"):
        specs = yaml.safe_load((folder / name / "meta/argument_specs.yml").read_text())["argument_specs"]
        main, *others = sorted(specs.items(), key=lambda item: item[0] != "main")
        yield f"## {name}"
        yield from _entry_point(main[1], main_options={})
        for entry_point, spec in others:
            yield f"### {name}: {entry_point}"
            yield from _entry_point(spec, main_options=main[1].get("options", {}))


def _entry_point(spec: Mapping[str, Any], main_options: Mapping[str, Any]) -> Iterator[str]:
    yield paragraph(_text(spec.get("description") or spec["short_description"]))
    options = spec.get("options", {})
    specific = {name: option for name, option in options.items() if main_options.get(name) != option}
    if specific:
        yield table(("variable", "type", "default", "meaning"), _rows(specific, ""))
    if len(specific) < len(options):
        yield "It also takes the variables of the role."


def _rows(options: Mapping[str, Any], prefix: str) -> Iterator[list[str]]:
    for name, option in options.items():
        kind = option.get("type", "str")
        if "elements" in option:
            kind += f" of {option['elements']}"
        choices = ", ".join(code(str(choice)) for choice in option.get("choices", ()))
        meaning = _text(option["description"]) + (f" One of {choices}." if choices else "")
        yield [code(prefix + name), kind, _default(option), meaning]
        yield from _rows(option.get("options", {}), f"{prefix}{name}.")


def _default(option: Mapping[str, Any]) -> str:
    if option.get("required"):
        return "required"
    value = option.get("default")
    if value is None:
        return ""
    rendered = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else _yaml(value)
    return code(rendered) if rendered else "empty"


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).removesuffix("...\n").strip()


def _text(description: str | list[str]) -> str:
    text = description if isinstance(description, str) else " ".join(description)
    return _MARKUP.sub(r"`\1`", text)
