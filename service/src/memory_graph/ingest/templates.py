"""Template inheritance and expansion (contract §1, InstantiateTemplate). Pure.

A template text holds variables `{{name}}` and may name blocks: `{% block greeting %}Hello {{name}}{% endblock %}`.
A child template inherits its parent's text; a block of the child replaces the parent's block of the same name, and
text of the child outside of the parent's blocks is added after the parent's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from memory_graph.ingest.checks import compile_pattern
from memory_graph.model.errors import Invalid, Violation, listed
from memory_graph.model.nodes import TemplateData, VariableSpec

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")
_BLOCK = re.compile(r"\{%\s*block\s+([A-Za-z_][A-Za-z0-9_.-]*)\s*%\}(.*?)\{%\s*endblock\s*%\}", re.DOTALL)


def expand(lineage: Sequence[TemplateData], values: Mapping[str, str]) -> str:
    """Expand the last template of `lineage` (root ancestor first): replace its variables by values or defaults.

    A value is inserted as it is: variables in it are not expanded again.

    Raises:
        Invalid: naming every required variable without a value, every value that does not match or has no variable.
    """
    text = _inherit([template.template_text for template in lineage])
    specs = {spec.name: spec for template in lineage for spec in template.variables}
    names = dict.fromkeys(_VARIABLE.findall(text))
    violations = [*_unknown(specs, names, values), *_missing(specs, names, values), *_mismatched(specs, values)]
    if violations:
        raise Invalid(*violations)

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in values:
            return values[name]
        return (specs[name].default_value if name in specs else None) or ""

    return _VARIABLE.sub(value, text)


def _inherit(texts: Sequence[str]) -> str:
    merged = ""
    for text in texts:
        merged = _extend(merged, text)
    return _BLOCK.sub(lambda match: match[2], merged)


def _extend(parent: str, child: str) -> str:
    child_blocks: dict[str, str] = dict(_BLOCK.findall(child))
    parent_blocks = {name for name, _ in _BLOCK.findall(parent)}
    merged = _BLOCK.sub(
        lambda match: _block(match[1], child_blocks[match[1]] if match[1] in child_blocks else match[2]), parent
    )
    rest = _BLOCK.sub(lambda match: "" if match[1] in parent_blocks else match[0], child)
    if not parent:
        return rest
    return f"{merged}\n{rest.strip()}" if rest.strip() else merged


def _block(name: str, body: str) -> str:
    return f"{{% block {name} %}}{body}{{% endblock %}}"


def _unknown(
    specs: Mapping[str, VariableSpec], names: Mapping[str, None], values: Mapping[str, str]
) -> list[Violation]:
    listing = listed(sorted({*specs, *names}), 1_000) or "none"
    return [
        Violation(f"variable_values[{name}]", f"the template has no such variable; it has {listing}")
        for name in values
        if name not in specs and name not in names
    ]


def _missing(
    specs: Mapping[str, VariableSpec], names: Mapping[str, None], values: Mapping[str, str]
) -> list[Violation]:
    required = [name for name in names if name not in specs]
    required += [spec.name for spec in specs.values() if spec.required and spec.default_value is None]
    missing = sorted({name for name in required if name not in values})
    return [Violation("variable_values", f"missing required variables: {listed(missing)}")] if missing else []


def _mismatched(specs: Mapping[str, VariableSpec], values: Mapping[str, str]) -> list[Violation]:
    return [
        Violation(f"variable_values[{name}]", f"does not match the pattern {spec.validation_pattern}")
        for name, spec in specs.items()
        if spec.validation_pattern
        and name in values
        and not compile_pattern(spec.validation_pattern).fullmatch(values[name])
    ]
