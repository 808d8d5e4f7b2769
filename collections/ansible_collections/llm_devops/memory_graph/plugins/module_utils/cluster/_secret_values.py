# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The values of Secrets that a run has read or sent, and foreign texts without them: API errors, logs.

Secrets that we show ourselves are redacted by path (:mod:`_redact`). Others quote whatever they like, in whatever
encoding, so their texts are searched for the values. A name of the release, such as a user ``postgres`` of a
StatefulSet ``postgres``, is no secret and stays readable.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

HIDDEN = "(a Secret's value)"
MIN_CHARS = 4
"""Shorter values are searched for only in texts about their own Secret: else every 1 and a would go."""
MIN_INNER_CHARS = 8
"""From here on a value is also found within a longer word."""
MIN_PART_CHARS = 20
"""Of a long value, or one that somebody cut, a part of this length is found."""
MAX_LINES = 200
"""Values of more lines are searched for by their parts alone."""
PUBLIC_KEYS = frozenset({"apiVersion", "kind", "metadata", "type", "immutable"})
OWN_TYPES = "llm-devops.memory-graph/"
_PLAIN = re.compile(r"[a-z]{1,12}|[A-Z]{1,12}|[0-9]{1,5}")
_TELLING = re.compile(r"[A-Za-z0-9_+/!@#$%^&*-]{6,}")
_MIXED = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])")
_NO_SECRET = frozenset({"true", "false", "null", "none", "yes", "no", "on", "off"})
_NAMES = frozenset({"name", "image", "namespace", "kind", "key", "secretName", "serviceAccountName"})


class SecretValues:
    """The values of the Secrets of one run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._names: set[str] = set()
        self._anchors: dict[str, tuple[str, int]] = {}
        self._patterns: dict[bool, re.Pattern[str] | None] = {}

    def add(self, obj: Any) -> None:
        """Add the values of a Secret, of all Secrets in a list, and the names of anything else."""
        all_forms: set[str] = set()
        long: set[str] = set()
        for value in values(obj):
            for form in forms(value):
                all_forms.add(form)
                if len(form) >= MIN_PART_CHARS:
                    long.add(form)
        names = set(_names(obj))
        with self._lock:
            if all_forms <= self._values and names <= self._names:
                return
            self._values |= all_forms
            self._names |= names
            self._patterns = {}
            for form in long:
                step = MIN_PART_CHARS // 2
                for start in range(0, len(form) - step + 1, step):
                    self._anchors.setdefault(form[start : start + step], (form, start))

    def name(self, *names: str) -> None:
        """Add names that are public."""
        with self._lock:
            self._names.update(names)
            self._patterns = {}

    def hide(self, text: str, *, plain: bool = True, about: Any = None) -> str:
        """Return ``text`` without any value. ``plain`` hides also values that are a common word or a small number.

        ``about`` is an object that the text is about: its short values are hidden, too.
        """
        if about is not None:
            short = {form for value in values(about) for form in forms(value, 1)} - self._names
            pattern = _pattern(short)
            text = pattern.sub(HIDDEN, text) if pattern else text
        if not self._values:
            return text
        with self._lock:
            if plain not in self._patterns:
                secret = self._values - self._names
                chosen = secret if plain else {value for value in secret if not _PLAIN.fullmatch(value)}
                self._patterns[plain] = _pattern(chosen)
            pattern = self._patterns[plain]
        text = self._without_parts(text)
        return pattern.sub(HIDDEN, text) if pattern else text

    def hidden(self, value: Any, *, plain: bool = True, about: Any = None) -> Any:
        """Return a copy of ``value`` with every text in it hidden; keys stay."""
        if isinstance(value, str):
            return self.hide(value, plain=plain, about=about)
        if isinstance(value, Mapping):
            return {key: self.hidden(item, plain=plain, about=about) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hidden(item, plain=plain, about=about) for item in value]
        return value

    def _without_parts(self, text: str) -> str:
        """Return ``text`` without the parts that are a long enough part of a value."""
        step, position, result = MIN_PART_CHARS // 2, 0, ""
        start = 0
        while self._anchors and position + step <= len(text):
            source = self._anchors.get(text[position : position + step])
            if source:
                begin, end = _common(text, position, *source, start)
                part = text[begin:end]
                if len(part) >= MIN_PART_CHARS and not any(part in name for name in self._names):
                    result += text[start:begin] + HIDDEN
                    start = position = end
                    continue
            position += 1
        return result + text[start:]


def _common(text: str, position: int, value: str, offset: int, floor: int) -> tuple[int, int]:
    """Return the longest part of ``text`` around ``position`` that is in ``value`` around ``offset``."""
    begin, end = position, position
    before, after = offset, offset
    while begin > floor and before > 0 and text[begin - 1] == value[before - 1]:
        begin, before = begin - 1, before - 1
    while end < len(text) and after < len(value) and text[end] == value[after]:
        end, after = end + 1, after + 1
    return begin, end


def _pattern(values: Iterable[str]) -> re.Pattern[str] | None:
    parts = []
    for value in sorted(values, key=len, reverse=True):
        escaped = re.escape(value)
        if len(value) >= MIN_INNER_CHARS:
            parts.append(escaped)
        else:
            parts.append(rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])")
    return re.compile("|".join(parts)) if parts else None


def values(obj: Any) -> Iterator[str]:
    """Yield every value of a Secret, or of the Secrets in a list, as it is written there and decoded."""
    if isinstance(obj, list | tuple):
        for item in obj:
            yield from values(item)
    elif isinstance(obj, Mapping) and isinstance(obj.get("items"), list):
        kind = str(obj.get("kind") or "").removesuffix("List")
        for item in obj["items"]:
            yield from values({"kind": kind, **item} if isinstance(item, Mapping) else item)
    elif isinstance(obj, Mapping) and _is_secret(obj) and not str(obj.get("type")).startswith(OWN_TYPES):
        for key, part in obj.items():
            if key not in PUBLIC_KEYS:
                yield from _leaves(part, encoded=key == "data")


def _is_secret(obj: Mapping[str, Any]) -> bool:
    return str(obj.get("kind")).lower() == "secret"


def _leaves(value: Any, *, encoded: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item, encoded=encoded)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item, encoded=encoded)
    elif isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        text = str(value)
        yield text
        other = _decoded(text) if encoded else base64.b64encode(text.encode(errors="replace")).decode()
        if other:
            yield other


def _decoded(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def forms(value: str, min_chars: int = MIN_CHARS) -> Iterator[str]:
    """Yield the forms of a value in a text: as it is, escaped, on one line, each of its lines and telling words."""
    text = value.strip()
    candidates = {
        value, text, " ".join(text.split()), json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1], quote(text, safe=""), text.rstrip("="),
    }  # fmt: skip
    lines = text.splitlines()
    if 1 < len(lines) <= MAX_LINES:
        candidates.update(line.strip() for line in lines)
    if len(text) <= 64 * 1024 and any(mark in text for mark in " \n=:\"'"):
        candidates.update(word for word in _TELLING.findall(text) if _MIXED.match(word))
    for form in candidates:
        if len(form) >= min_chars and form.lower() not in _NO_SECRET and re.search(r"\w", form):
            yield form


def _names(obj: Any) -> Iterator[str]:
    """Yield kinds, names and images, whole and in their parts, of objects; of Secrets only names and their keys."""
    if isinstance(obj, list | tuple):
        for item in obj:
            yield from _names(item)
    elif isinstance(obj, Mapping):
        secret = _is_secret(obj)
        for key, value in obj.items():
            if isinstance(value, str) and key in _NAMES:
                yield value
                yield from re.split(r"[/:@]", value) if key == "image" else ()
            elif secret and key in ("data", "stringData"):
                yield from (str(name) for name in value) if isinstance(value, Mapping) else ()
            elif not secret or key in PUBLIC_KEYS:
                yield from _names(value)
