#!/usr/bin/env bash
# protobuf's JSON reader for Python refuses RFC 3339 timestamps with a small "t" or "z", which RFC 3339 §5.6 allows
# ("may alternatively be lower case"), and the three refusals have unlike texts. So a service that reads timestamps with it
# has to accept them by itself.
# Seen 2026-11-27 with protobuf 7.36.2:
#   2026-01-02T03:04:05Z  -> 1767323045
#   2026-01-02T03:04:05z  -> refused
#   2026-01-02t03:04:05Z  -> refused
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet protobuf==7.36.2
"$folder/venv/bin/python" - <<'PYTHON'
from google.protobuf import __version__, json_format, timestamp_pb2

print("protobuf", __version__)
seen = {}
for text in ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05z", "2026-01-02t03:04:05Z"):
    try:
        seen[text] = json_format.Parse(f'"{text}"', timestamp_pb2.Timestamp()).seconds
    except json_format.ParseError as error:
        seen[text] = "refused"
        print(" ", error)
    print(text, "->", seen[text])
assert list(seen.values()) == [1767323045, "refused", "refused"], "behaviour has changed"
PYTHON
