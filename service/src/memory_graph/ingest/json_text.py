"""Tolerant reading of JSON from senders: bounded depth, lenient scalars, the readable parts of malformed text. Pure."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

Scalar = str | int | float | bool | None
T = TypeVar("T", bound=msgspec.Struct)

MAX_DEPTH = 500
"""Deepest nesting of objects and arrays: decoders recurse."""
TOO_DEEP = f"is nested more than {MAX_DEPTH} deep; flatten it, or send it as a string of JSON"
MAX_BRACKETS = 1_000_000
"""Most brackets of a malformed text that is split: a sender's mistake must not cost seconds."""

UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""The byte-order marks of text that is not UTF-8."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"?'
_BRACKET = re.compile(rb'(?:[^\[\]{}"]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL)
_SIGN = re.compile(rb'(?:[^\[\]{},"]++|' + _STRING + rb")*+([\[\]{},])", re.DOTALL)
_ANY_STRING = re.compile(_STRING, re.DOTALL)
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escape of a string; the group is half of a surrogate pair without the other."""
_NO_NUMBER = re.compile(rb"(?i)\b(?:nan|inf|infinity)\b")
_KEY = re.compile(rb'\s*"((?:[^"\\]++|\\.)*+)"\s*:\s*', re.DOTALL)


def without_bom(text: bytes) -> bytes:
    """Strip the byte-order mark that some editors and platforms put before JSON (RFC 8259, section 8.1)."""
    return text.removeprefix(codecs.BOM_UTF8)


def too_deep(text: bytes | str) -> bool:
    """Return whether JSON is nested deeper than MAX_DEPTH; brackets in strings do not count."""
    if isinstance(text, str):
        return text.count("{") + text.count("[") > MAX_DEPTH and too_deep(text.encode())
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    depth = at = 0
    while match := _BRACKET.match(text, at):  # not finditer, which would begin anew at each byte of an open string
        depth += 1 if match[1] in b"{[" else -1
        if depth > MAX_DEPTH:
            return True
        at = match.end()
    return False


def string_fields(text: bytes, *keys: str) -> list[str]:
    """Return the strings of an object under some keys, or empty ones. The text may be malformed: it is for messages."""
    try:
        fields = json.loads(text.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        fields = {key: _search_string(text, key) for key in keys}
    values = [fields.get(key) if isinstance(fields, dict) else None for key in keys]
    return [value.encode(errors="replace").decode() if isinstance(value, str) else "" for value in values]


def _search_string(text: bytes, key: str) -> object:
    match = re.search(rb'"' + key.encode() + rb'"\s*:\s*("(?:[^"\\]++|\\.){0,1024}+")', text, re.DOTALL)
    try:
        return json.loads(match[1].decode(errors="replace"), strict=False) if match else None
    except ValueError:
        return None


def elements(text: bytes, start: int = 0) -> tuple[list[bytes], int]:
    """Split an array into its elements, and return them with the index after it. Brackets and strings must be right;
    an element need not be JSON.

    Raises:
        ValueError: if it is no array.
    """
    if text[start : start + 1] != b"[" or sum(map(text.count, (b"[", b"]", b"{", b"}"))) > MAX_BRACKETS:
        raise ValueError("no array")
    items: list[bytes] = []
    at = first = start + 1
    while True:
        sign, at = _next(_SIGN, text, at)
        if sign in b"{[":
            at = _closing_index(text, at)
            continue
        element = text[first : at - 1].strip()
        if sign == b"}":
            raise ValueError("no array")
        if sign == b"," or element or items:
            items.append(element)
        if sign == b"]":
            return items, at
        first = at


def extract_array(text: bytes, name: str) -> tuple[bytes, list[bytes]]:
    """Take the elements of the array `name` out of an object. Returns the object with an empty array, and the elements.

    Raises:
        ValueError: if it is no object, or has no such array.
    """
    at = len(text) - len(text.lstrip())
    if text[at : at + 1] != b"{":
        raise ValueError("no object")
    sign, at = b",", at + 1
    while sign == b",":
        key = _KEY.match(text, at)
        if key is None:
            break
        at = key.end()
        if key[1] == name.encode():
            items, end = elements(text, at)
            return text[:at] + b"[]" + text[end:], items
        sign, at = _next(_SIGN, text, at)
        if sign in b"{[":
            sign, at = _next(_SIGN, text, _closing_index(text, at))
    raise ValueError(f"no array {name}")


def _next(pattern: re.Pattern[bytes], text: bytes, at: int) -> tuple[bytes, int]:
    match = pattern.match(text, at)
    if match is None:
        raise ValueError("it is cut off")
    return match[1], match.end()


def _closing_index(text: bytes, at: int) -> int:
    """Return the index after the bracket that closes the one before `at`."""
    depth = 1
    while depth:
        sign, at = _next(_BRACKET, text, at)
        depth += 1 if sign in b"{[" else -1
    return at


def is_wrong_object(text: bytes, error: Exception) -> bool:
    """Return whether a text that does not decode is a JSON object of another shape."""
    return isinstance(error, msgspec.ValidationError) and text.lstrip().startswith(b"{")


def syntax_problem(text: bytes, error: Exception) -> str:
    """Return why a text is no JSON in words that help the sender: decoders call half a surrogate pair "truncated"."""
    if text.startswith(UTF16_BOMS):
        return "it is UTF-16; send UTF-8"
    if any(match[1] for match in _ESCAPE.finditer(text)):
        return (
            "a \\u escape is one half of a surrogate pair, a text cut in the middle of a character;"
            " cut it between characters"
        )
    if _NO_NUMBER.search(_ANY_STRING.sub(b"", text)):
        return "NaN and Infinity are no numbers of JSON; leave the field out"
    return str(error)


def as_text(value: object) -> str:
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
