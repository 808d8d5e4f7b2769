# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Values of Secrets that a run has met, and texts of others without them: errors of the API server, logs.

What we show of a Secret ourselves is redacted by path (:mod:`_redact`). Others quote whatever they like, in whatever
encoding, so their words are searched for the values. What is a name in the release, such as a user ``postgres`` of a
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
"""Shorter values are looked for only in words about their own Secret: else every 1 and a would go."""
MIN_INNER_CHARS = 8
"""From here on a value is also found within a longer word."""
MIN_PART_CHARS = 20
"""Of a long value, or one that somebody cut, a part of this length is found."""
MAX_LINES = 200
"""Values of more lines are searched for by their parts alone."""
SHOWN = frozenset({"apiVersion", "kind", "metadata", "type", "immutable"})
OWN_TYPES = "llm-devops.memory-graph/"
_PLAIN = re.compile(r"[a-z]{1,12}|[A-Z]{1,12}|[0-9]{1,5}")
_TELLING = re.compile(r"[A-Za-z0-9_+/!@#$%^&*-]{6,}")
_MIXED = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])")
_NO_SECRET = frozenset({"true", "false", "null", "none", "yes", "no", "on", "off"})
_NAMES = frozenset({"name", "image", "namespace", "kind", "key", "secretName", "serviceAccountName"})


class SecretValues:
    """What is known of one run; threads may learn and hide at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words: set[str] = set()
        self._names: set[str] = set()
        self._anchors: dict[str, tuple[str, int]] = {}
        self._patterns: dict[bool, re.Pattern[str] | None] = {}

    def learn(self, obj: Any) -> None:
        """Note the values of a Secret, of all Secrets in a list, and the names of anything else."""
        words: set[str] = set()
        long: set[str] = set()
        for value in values(obj):
            for form in forms(value):
                words.add(form)
                if len(form) >= MIN_PART_CHARS:
                    long.add(form)
        names = set(_names(obj))
        with self._lock:
            if words <= self._words and names <= self._names:
                return
            self._words |= words
            self._names |= names
            self._patterns = {}
            for form in long:
                step = MIN_PART_CHARS // 2
                for start in range(0, len(form) - step + 1, step):
                    self._anchors.setdefault(form[start : start + step], (form, start))

    def name(self, *names: str) -> None:
        """Note what is public."""
        with self._lock:
            self._names.update(names)
            self._patterns = {}

    def hide(self, text: str, *, plain: bool = True, about: Any = None) -> str:
        """``text`` without any value. ``plain``: also values that are a common word or a small number; ``about``: an
        object the text is about, of which short values are hidden, too."""
        if about is not None:
            short = {form for value in values(about) for form in forms(value, 1)} - self._names
            found = _pattern(short)
            text = found.sub(HIDDEN, text) if found else text
        if not self._words:
            return text
        with self._lock:
            if plain not in self._patterns:
                words = self._words - self._names
                chosen = words if plain else {word for word in words if not _PLAIN.fullmatch(word)}
                self._patterns[plain] = _pattern(chosen)
            pattern = self._patterns[plain]
        text = self._without_parts(text)
        return pattern.sub(HIDDEN, text) if pattern else text

    def hidden(self, value: Any, *, plain: bool = True, about: Any = None) -> Any:
        """A copy of ``value`` with every text in it hidden; keys stay."""
        if isinstance(value, str):
            return self.hide(value, plain=plain, about=about)
        if isinstance(value, Mapping):
            return {key: self.hidden(item, plain=plain, about=about) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hidden(item, plain=plain, about=about) for item in value]
        return value

    def _without_parts(self, text: str) -> str:
        """``text`` without what is a long enough part of a value."""
        step, position, result = MIN_PART_CHARS // 2, 0, ""
        start = 0
        while self._anchors and position + step <= len(text):
            source = self._anchors.get(text[position : position + step])
            if source:
                left, right = _common(text, position, *source, start)
                part = text[left:right]
                if len(part) >= MIN_PART_CHARS and not any(part in name for name in self._names):
                    result += text[start:left] + HIDDEN
                    start = position = right
                    continue
            position += 1
        return result + text[start:]


def _common(text: str, position: int, value: str, offset: int, floor: int) -> tuple[int, int]:
    """The longest part of ``text`` around ``position`` that stands in ``value`` around ``offset``."""
    left, right = position, position
    before, after = offset, offset
    while left > floor and before > 0 and text[left - 1] == value[before - 1]:
        left, before = left - 1, before - 1
    while right < len(text) and after < len(value) and text[right] == value[after]:
        right, after = right + 1, after + 1
    return left, right


def _pattern(words: Iterable[str]) -> re.Pattern[str] | None:
    parts = []
    for word in sorted(words, key=len, reverse=True):
        escaped = re.escape(word)
        if len(word) >= MIN_INNER_CHARS:
            parts.append(escaped)
        else:
            parts.append(rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])")
    return re.compile("|".join(parts)) if parts else None


def values(obj: Any) -> Iterator[str]:
    """Every value of a Secret, or of the Secrets in a list, as it is written there and decoded."""
    if isinstance(obj, list | tuple):
        for item in obj:
            yield from values(item)
    elif isinstance(obj, Mapping) and isinstance(obj.get("items"), list):
        kind = str(obj.get("kind") or "").removesuffix("List")
        for item in obj["items"]:
            yield from values({"kind": kind, **item} if isinstance(item, Mapping) else item)
    elif isinstance(obj, Mapping) and _is_secret(obj) and not str(obj.get("type")).startswith(OWN_TYPES):
        for key, part in obj.items():
            if key not in SHOWN:
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


def forms(value: str, least: int = MIN_CHARS) -> Iterator[str]:
    """The ways a value may stand in a text: as it is, escaped, on one line, and each of its lines and telling words."""
    text = value.strip()
    found = {value, text, " ".join(text.split()), json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1],
             repr(text)[1:-1], quote(text, safe=""), text.rstrip("=")}  # fmt: skip
    lines = text.splitlines()
    if 1 < len(lines) <= MAX_LINES:
        found.update(line.strip() for line in lines)
    if len(text) <= 64 * 1024 and any(mark in text for mark in " \n=:\"'"):
        found.update(word for word in _TELLING.findall(text) if _MIXED.match(word))
    for form in found:
        if len(form) >= least and form.lower() not in _NO_SECRET and re.search(r"\w", form):
            yield form


def _names(obj: Any) -> Iterator[str]:
    """Kinds, names and images, whole and in their parts, of objects that are no Secrets; of Secrets their keys too."""
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
            elif not secret or key in SHOWN:
                yield from _names(value)
