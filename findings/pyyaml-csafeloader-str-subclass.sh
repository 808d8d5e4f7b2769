#!/usr/bin/env bash
# PyYAML's two safe loaders take different texts: SafeLoader reads an instance of a subclass of str, CSafeLoader (libyaml)
# refuses it with a TypeError that says a string is required. Templating engines that tag their results with a subclass
# of str (ansible-core 2.19 and newer do) so break "CSafeLoader if it is there, else SafeLoader"; encode the text first.
# Seen 2026-11-27 with PyYAML 6.0.3:
#   SafeLoader   str subclass -> {'a': 1}
#   CSafeLoader  str subclass -> TypeError: a string or stream input is required
#   CSafeLoader  its bytes    -> {'a': 1}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet PyYAML==6.0.3
"$folder/venv/bin/python" - <<'PYTHON'
import yaml


class Tagged(str):
    pass


def read(loader, text):
    try:
        return yaml.load(text, Loader=loader)
    except TypeError as error:
        return f"TypeError: {error}"


print("PyYAML", yaml.__version__)
seen = [
    read(yaml.SafeLoader, Tagged("a: 1")),
    read(yaml.CSafeLoader, Tagged("a: 1")),
    read(yaml.CSafeLoader, Tagged("a: 1").encode()),
]
for what, result in zip(("SafeLoader   str subclass", "CSafeLoader  str subclass", "CSafeLoader  its bytes   "), seen):
    print(what, "->", result)
assert seen == [{"a": 1}, "TypeError: a string or stream input is required", {"a": 1}], "behaviour has changed"
PYTHON
