#!/usr/bin/env bash
# Hypothesis's derandomize=True (its profile `ci` too) does not fix the examples of a property: they follow the constants
# in the source of whatever local modules are imported by then. A number in an unrelated module, or which of a test run's
# files a worker imported before, changes what a property is tried on; the property and the library stay the same.
# Seen 2026-11-27 with hypothesis 6.170.15 (Python 3.11): of 300 examples of integers()
#   the same program run twice                                         -> the same examples
#   a local module that holds 918273645 imported, and nothing else     -> other examples, 918273645 among them
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet hypothesis==6.170.15
mkdir "$folder/project"
cd "$folder/project"
echo 'LIMIT = 918273645' >limits.py
cat >examples.py <<'PYTHON'
import importlib
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

for name in sys.argv[1:]:
    importlib.import_module(name)
found = []


@settings(derandomize=True, max_examples=300, database=None)
@given(st.integers())
def collect(number):
    found.append(number)


collect()
print(*found)
PYTHON
run() { "$folder/venv/bin/python" examples.py "$@"; }
first=$(run) again=$(run) beside=$(run limits)
[[ $first == "$again" ]] || { echo "behaviour has changed: the same program has other examples" >&2; exit 1; }
[[ " $first " != *" 918273645 "* ]] || { echo "behaviour has changed: found without the module" >&2; exit 1; }
[[ " $beside " == *" 918273645 "* ]] || { echo "behaviour has changed: the module's constant is no example" >&2; exit 1; }
echo "twice the same; beside limits.py other examples, 918273645 among them"
