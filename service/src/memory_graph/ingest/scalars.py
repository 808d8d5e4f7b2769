"""Values of JSON: as the text that metadata holds, and as fields in the lenience of proto3 JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

Scalar = str | int | float | bool | None
T = TypeVar("T", bound=msgspec.Struct)


def text(value: object) -> str:
    """A value as JSON writes it, a string as it is."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def lenient_decoder(kind: type[T]) -> Callable[[msgspec.Raw], T]:
    """Decodes a struct whose fields all have defaults: null is absent, 7.0, 7e0 and "7" are 7 where a number is meant.

    The decoder raises msgspec.DecodeError and UnicodeDecodeError.
    """
    fields = msgspec.structs.fields(kind)
    sent = msgspec.defstruct(kind.__name__, [(field.name, field.type | None, None) for field in fields])
    strict = msgspec.json.Decoder(kind).decode
    decode = msgspec.json.Decoder(sent, strict=False).decode
    names = [field.name for field in fields]

    def decoded(body: msgspec.Raw) -> T:
        try:
            return strict(body)  # what nearly all senders write, at a third of the time
        except msgspec.ValidationError:
            found = decode(body)
        return kind(**{name: value for name in names if (value := getattr(found, name)) is not None})

    return decoded
