# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""YAML text as kubectl reads it: the values sigs.k8s.io/yaml (goyaml.v2, then JSON) makes of each scalar. Pure.

PyYAML's own reader makes dates of dates, numbers of ``1:30`` and texts of ``1e3``; JSON has no dates, and kubectl would
deploy something else. Sentences about malformed text never quote it: it may be a Secret's.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, ClassVar

from .._errors import ManifestError
from ..cluster._kubeconfig import yaml

MAX_NODES = 2_000_000
"""Values a text may expand to through aliases; go-yaml stops at a like ratio."""
_PLAIN = "tag:memory-graph.llm-devops,plain"
_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INFINITE = {f"{sign}{word}" for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
_NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[oO]([0-7]+)|0[bB]([01]+)|(0[0-7]*)|([1-9][0-9]*))\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_MARK = re.compile(r"(\A|\n---[^\n]*\n)\ufeff")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def documents(text: str) -> list[Any]:
    """The documents of ``text``; an empty one is None.

    :raises ManifestError: naming line and column of what is not YAML, has no JSON value, or stands twice in a mapping.
    """
    text = _MARK.sub(r"\1", text)
    try:
        return [_values(node) for node in yaml.compose_all(text, Loader=_loader())]
    except yaml.YAMLError as error:
        raise ManifestError(f"a text of objects is not YAML: {_problem(error, text)}", "correct it") from error
    except RecursionError as error:
        raise ManifestError("a text of objects is nested too deeply", "give flatter manifests") from error


def _loader() -> Any:
    """PyYAML's reader without its own idea of plain scalars, which are tagged as such instead."""

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {None: [(_PLAIN, re.compile(""))]}

    return Loader


def _problem(error: Any, text: str) -> str:
    """Return the error and its position, without the text around it, and without the values that the parser quotes."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    if mark and (text.splitlines() or [""])[min(mark.line, text.count("\n"))][mark.column : mark.column + 1] == "\t":
        return f"{where}a tab stands where YAML takes spaces only"
    message = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    return where + _QUOTED.sub(lambda match: match[0] if len(match[0]) == 3 else "…", message)


def _values(node: Any) -> Any:
    """A document as JSON values."""
    if node is None:
        return None
    _count(node, {})
    return _value(node)


def _count(node: Any, counts: dict[int, int]) -> int:
    """Return the number of values that ``node`` makes.

    Each node is counted once, however many aliases it has: a few lines that would make millions are refused before one
    is made.
    """
    if id(node) in counts:
        if not counts[id(node)]:
            raise _refused(node, "an alias stands within what it names", "write the value out")
        return counts[id(node)]
    counts[id(node)] = 0  # until what is in it is counted
    if isinstance(node, yaml.MappingNode):
        parts = [item for _key, item in node.value]
    else:
        parts = node.value if isinstance(node, yaml.SequenceNode) else []
    counts[id(node)] = count = 1 + sum(_count(part, counts) for part in parts)
    if count > MAX_NODES:
        raise _refused(node, f"its aliases make more than {MAX_NODES} values", "write fewer aliases")
    return count


def _value(node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    return _finite(node, _tagged(node))


def _mapping(node: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    names: set[str] = set()
    for key, item in node.value:
        if key.tag == _PLAIN and key.value == "<<":
            _merge(result, item)  # in its turn: what stands before it gives way, as in kubectl
            continue
        name = _key(key)
        if name in names:
            message = f"{name[:60]!r}"
            if key.value != name:
                message = f"{key.value[:60]!r}, which is read as {message},"
            raise _refused(key, f"the key {message} stands twice in one mapping", "leave one of them out")
        names.add(name)
        result[name] = _value(item)
    return result


def _merge(into: dict[str, Any], node: Any) -> None:
    parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
    for part in reversed(parts):
        if not isinstance(part, yaml.MappingNode):
            raise _refused(part, "'<<' merges mappings only", "give an alias of a mapping")
        into.update(_value(part))


def _refused(node: Any, reason: str, way_out: str) -> ManifestError:
    mark = node.start_mark
    return ManifestError(f"a text of objects, line {mark.line + 1}, column {mark.column + 1}: {reason}", way_out)


def _tagged(node: Any) -> Any:
    """The value of a scalar; a tag that is written out overrules what it looks like, an unknown one does not."""
    text, tag = str(node.value), str(node.tag).removeprefix("tag:yaml.org,2002:")
    if tag == "binary":
        return _binary(node, text)
    return scalar(text) if tag in (_PLAIN, "int", "float", "bool", "null") else text


def _binary(node: Any, text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _refused(node, "!!binary is no base64 of UTF-8 text", "give text, or binaryData") from error


def scalar(text: str) -> Any:
    """Return the value that goyaml.v2 gives a plain scalar: a text, a number, a truth or null. Dates stay texts."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _NULL:
        return None
    if text in _INFINITE or text in _NOT_A_NUMBER:
        return math.nan if text in _NOT_A_NUMBER else math.inf
    if text[0] not in "+-.0123456789":
        return text
    if text[0] == ".":
        return _number(text) if _FLOAT.match(text) else text
    plain = text.replace("_", "")
    whole = _INTEGER.match(plain)
    if whole:
        number = _whole(whole)
        if -(2**63) <= number < 2**64 or not _FLOAT.match(plain):
            return number
    if _FLOAT.match(plain):
        decimal = _number(plain)
        return text if decimal is None else decimal
    return text


def _whole(match: re.Match[str]) -> int:
    sign, sixteen, eight, two, old_eight, ten = match.groups()
    for digits, base in ((sixteen, 16), (eight, 8), (two, 2), (old_eight, 8)):
        if digits is not None:
            return int(f"{sign}{digits}", base)
    return int(f"{sign}{ten}") if len(ten) < 400 else 10**400


def _number(text: str) -> int | float | None:
    """A float as Go's JSON writes it: ``8.0`` is ``8``. None when it is too large for one."""
    number = float(text)
    if math.isinf(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _finite(node: Any, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise _refused(node, "infinity and not-a-number have no JSON value", "quote it, if a text is meant")
    return value


def _key(node: Any) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _refused(node, "a key is a mapping or a list", "use a text as key")
    value = _finite(node, _tagged(node))
    if value is None:
        raise _refused(node, "a key is empty (null)", "quote it, if a text is meant")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
