"""Settings of the service, from `memory_graph.config`."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from memory_graph.config import Settings
from tools.reference.markdown import code, document, paragraph, table

_TYPES = {str: "text", int: "number", float: "number", Path: "path", SecretStr: "text", dict: "list", tuple: "list"}


def page() -> str:
    """The page: every setting with its values, its default and its description."""
    rows = [
        [code(name.upper()), _allowed(field.annotation, field.metadata), _default(field.get_default()), _meaning(field)]
        for name, field in Settings.model_fields.items()
    ]
    return document(
        "Settings",
        "`service/src/memory_graph/config.py`",
        paragraph(
            "Settings are environment variables. A wrong value stops the start, with the name of the setting, the value"
            " and what is allowed. `memory-graph serve --help` and `memory-graph worker --help` list the settings that"
            " each of them reads. The roles of the collection set them in a ConfigMap and in Secrets."
        ),
        table(("setting", "values", "default", "meaning"), rows),
    )


def _meaning(field: FieldInfo) -> str:
    assert field.description, f"a setting has no description: {field}"
    return str(field.description)


def _allowed(annotation: Any, metadata: list[Any]) -> str:  # noqa: ANN401 - any type there is
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        kind, *metadata = typing.get_args(annotation)
        return _allowed(kind, metadata)
    if origin is Literal:
        return ", ".join(map(code, typing.get_args(annotation)))
    if origin in (types.UnionType, typing.Union):
        (kind,) = (kind for kind in typing.get_args(annotation) if kind is not type(None))
        return _allowed(kind, metadata)
    return _TYPES[origin or annotation] + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    metadata = [part for item in metadata for part in (item.metadata if hasattr(item, "metadata") else [item])]
    lowest = next((f" from {bound.ge}" for bound in metadata if hasattr(bound, "ge")), "")
    above = next((f" above {bound.gt}" for bound in metadata if hasattr(bound, "gt")), "")
    highest = next((f" to {bound.le}" for bound in metadata if hasattr(bound, "le")), "")
    return lowest + above + highest


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "in the user's data directory"
    if isinstance(value, dict):
        value = ",".join(value)
    return code(str(value)) if value not in (None, (), "") else ""
