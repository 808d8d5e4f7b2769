"""One vocabulary (CONTRIBUTING.md): names are the field's own nouns, and one word is one thing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from .source import Source, parse, sources

NO_NOUNS = frozenset(
    {
        "asked", "came", "found", "gave", "given", "gone", "heard", "here", "kept", "known", "left", "made", "one",
        "own", "said", "says", "shown", "taken", "there", "told", "wanted", "what", "who", "whose",
    }
)  # fmt: skip
"""Participles and pronouns: a variable is called after what it holds (`node`, `record`, `partition`, `reported`)."""
COINED = frozenset(
    {
        "aftermath", "calm_collector", "groundwork", "happened", "intake", "letter", "letters", "outlet", "patience",
        "place", "places", "rejections", "revise", "rewind", "sameness", "survey", "trouble", "troubles", "turns",
        "waiting_room", "wish", "words",
    }
)  # fmt: skip
"""Words of ours for things that the field has a name for (docs/glossary.md)."""
CONSTANT = re.compile(r"^_*(MOST|LEAST|FEW|COMPANY|TOGETHER|SETTLE|NOTICEABLE)(_|$)|_(AT_ONCE|SOON_S|FEW|SECONDS)$")
"""Constants are `MAX_…`, `MIN_…`, `…_TIMEOUT_S`, `…_INTERVAL_S`, `…_BATCH_SIZE`: a bound, what it bounds, its unit."""
OPENING = re.compile(r"^(What|Which|Who|Whom|Whose|How|Where|Of|So that|As far)\b")
"""A docstring that opens so tells a question and not what the thing is."""
OF_A_FRAMEWORK = frozenset({"ActionModule", "CallbackModule", "FilterModule", "LookupModule", "ModuleDocFragment"})
"""Ansible looks plugins up by these class names, one a file."""


def banned_names(source: Source) -> Iterator[str]:
    for line, name in source.defined_names():
        bare = name.strip("_").lower()
        if bare in NO_NOUNS:
            yield f"{source.path}:{line}: {name} is no noun: call it after what it holds"
        elif bare in COINED:
            yield f"{source.path}:{line}: {name} is a word of ours: use the field's (docs/glossary.md)"
        elif name.isupper() and CONSTANT.search(name):
            yield f"{source.path}:{line}: {name}: a constant is MAX_…, MIN_… or …_TIMEOUT_S, …_INTERVAL_S, …_BATCH_SIZE"


def indirect_docstrings(source: Source) -> Iterator[str]:
    for line, docstring in source.docstrings():
        if OPENING.match(docstring):
            yield f"{source.path}:{line}: the first sentence does not say what it is: {docstring.splitlines()[0]}"


def duplicate_classes(files: Iterable[Source]) -> Iterator[str]:
    homes = defaultdict(list)
    for source in files:
        for node in source.classes():
            homes[node.name].append(f"{source.path}:{node.lineno}")
    for name, definitions in sorted(homes.items()):
        if len(definitions) > 1 and name not in OF_A_FRAMEWORK:
            yield f"class {name} is defined {len(definitions)} times: {', '.join(definitions)}"


def test_names_are_nouns_of_the_field() -> None:
    assert [line for source in sources() for line in banned_names(source)] == []


def test_docstrings_say_what_the_thing_is() -> None:
    assert [line for source in sources() for line in indirect_docstrings(source)] == []


def test_one_class_name_is_one_class() -> None:
    assert list(duplicate_classes(sources())) == []


def test_the_rules_see_what_they_forbid() -> None:
    source = parse(
        "a.py", '"""How far it is."""\nMOST_TRIES = 3\nclass Lag: ...\ndef pick(found, *, _letter): one = 1\n'
    )
    assert [line.split(" ")[1].rstrip(":") for line in banned_names(source)] == [
        "MOST_TRIES",
        "found",
        "_letter",
        "one",
    ]
    assert len(list(indirect_docstrings(source))) == 1
    assert list(duplicate_classes([source, source])) == ["class Lag is defined 2 times: a.py:3, a.py:3"]
    fine = parse("b.py", '"""A lag."""\nMAX_TRIES = 3\nclass Offset: ...\ndef pick(node, *, record): index = 1\n')
    assert not [*banned_names(fine), *indirect_docstrings(fine), *duplicate_classes([source, fine])]
