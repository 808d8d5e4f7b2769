"""Scalars of JSON: as text for metadata, and as fields with the lenience of proto3 JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

Scalar = str | int | float | bool | None
T = TypeVar("T", bound=msgspec.Struct)


def text(value: object) -> str:
    """Return a value as JSON text, and a string as it is."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def lenient_decoder(kind: type[T]) -> Callable[[msgspec.Raw], T]:
    """Make a decoder of a struct whose fields all have defaults: null is absent, and 7.0, 7e0 and "7" are the number 7.

    The decoder raises msgspec.DecodeError and UnicodeDecodeError.
    """
    fields = msgspec.structs.fields(kind)
    lenient = msgspec.defstruct(kind.__name__, [(field.name, field.type | None, None) for field in fields])
    strict = msgspec.json.Decoder(kind).decode
    decode = msgspec.json.Decoder(lenient, strict=False).decode
    names = [field.name for field in fields]

    def decoded(body: msgspec.Raw) -> T:
        try:
            return strict(body)  # what nearly all senders write, at a third of the time
        except msgspec.ValidationError:
            values = decode(body)
        return kind(**{name: value for name in names if (value := getattr(values, name)) is not None})

    return decoded
