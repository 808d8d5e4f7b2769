#!/usr/bin/env bash
# pytest-xdist 3.8.0 beside pytest 9.2.0: --dist loadgroup behaves like --dist load, without a warning. Tests marked
# xdist_group are spread over the processes, so each process makes its own copy of what the group was to share. With
# pytest 9.1.1 a group stays in one process.
# Seen 2026-11-27: eight tests of one group, two processes:
#   pytest 9.1.1 -> 1 process runs them
#   pytest 9.2.0 -> 2 processes run them
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/test_group.py" <<'PYTHON'
import os
import time
from pathlib import Path

import pytest


@pytest.mark.xdist_group("server")
@pytest.mark.parametrize("number", range(8))
def test_member(number):
    time.sleep(0.2)  # long enough for both processes to be up
    Path(__file__).with_name(f"process-{os.getpid()}").touch()
PYTHON
processes() { # pytest's version
  python3 -m venv --clear "$folder/venv"
  "$folder/venv/bin/pip" install --quiet "pytest==$1" pytest-xdist==3.8.0
  rm -f "$folder"/process-*
  "$folder/venv/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup "$folder/test_group.py" >"$folder/log" || {
    cat "$folder/log" >&2
    exit 1
  }
  find "$folder" -maxdepth 1 -name 'process-*' | wc -l
}
older=$(processes 9.1.1)
newer=$(processes 9.2.0)
echo "processes that ran the group: pytest 9.1.1 $older, pytest 9.2.0 $newer"
if [[ $older != 1 || $newer != 2 ]]; then
  echo "behaviour has changed" >&2
  exit 1
fi
