"""Terms of the full-text index: words of a node's text, and tags for everything else it can be filtered by.

Both are made here and the index takes them as they are, so what counts as a word is no setting of the database: letters
and digits, without case and accents. A tag is `name=value` in percent encoding, so it never holds a space or syntax.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote

import msgspec

from memory_graph.model.attributes import attributes, text
from memory_graph.model.kinds import NodeType
from memory_graph.model.nodes import NodeData
from memory_graph.model.queries import NodeFilter

_WORD = re.compile(r"[^\W_]+")
_LONGEST_TAG = 200
"""The index cuts terms at 255 characters; what is longer goes by its digest."""
_MAX_TERMS = 500
"""Terms the index is asked for; it refuses more than 1,024. What is left over is looked for in what it found."""


class FulltextQuery(msgspec.Struct, frozen=True):
    """A full-text query. terms: for the index. rest: sequences of words, with a space around each, that a node it finds
    must hold too."""

    terms: str
    rest: list[str]


def normalized_words(content: str) -> list[str]:
    """The words of a text, in order."""
    if not content.isascii():
        decomposed = unicodedata.normalize("NFKD", content)
        content = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _WORD.findall(content.casefold())


def words_of(data: NodeData) -> str | None:
    """The property `words` of a node; None for a node without any."""
    return " ".join(normalized_words(text(data))) or None


def tags_of(tenant: str, session_id: str | None, type: NodeType, data: NodeData) -> str:
    """The property `tags` of a node."""
    return " ".join(_tags(tenant, session_id, type, attributes(data)))


def search(tenant: str, condition: NodeFilter) -> FulltextQuery | None:
    """The attributes and the text of a filter, for one tenant, and for a session and a type if it names them; None
    where there is text without a word, which nothing holds."""
    named = iter(condition.attributes)
    terms = [f'+tags:"{tag}"' for tag in _tags(tenant, condition.session_id, condition.type, named)]
    if condition.text is None:
        return FulltextQuery(" ".join(terms), [])
    phrases = [phrase for word in dict.fromkeys(condition.text.split()) if (phrase := normalized_words(word))]
    if not phrases:
        return None
    rest: list[str] = []
    room = _MAX_TERMS
    for phrase in phrases:
        room -= len(phrase)
        if room >= 0:
            terms.append(f'+words:"{" ".join(phrase)}"')
        else:
            rest.append(f" {' '.join(phrase)} ")
    return FulltextQuery(" ".join(terms), rest)


def _tags(
    tenant: str, session_id: str | None, type: NodeType | None, named: Iterator[tuple[str, str]]
) -> Iterator[str]:
    yield _tag("tenant", tenant)
    if session_id is not None:
        yield _tag("session", session_id)
    if type is not None:
        yield _tag("type", type.name)
    for name, value in named:
        yield _tag(name, value)


def _tag(name: str, value: str) -> str:
    return _short_tag(name, value) if len(name) + len(value) <= _LONGEST_TAG else _made_tag(name, value)


def _made_tag(name: str, value: str) -> str:
    tag = f"{quote(name, safe='')}={quote(value, safe='')}"
    return tag if len(tag) <= _LONGEST_TAG else hashlib.sha256(tag.encode()).hexdigest()


_short_tag = lru_cache(maxsize=8_192)(_made_tag)
"""Models, tenants and sessions come again and again."""
