"""The examples of docs/reference/telemetry-events.md and docs/how-to/send-telemetry.md are what the service takes."""

from __future__ import annotations

import gzip
import json
import re
import urllib.request
from pathlib import Path

import pytest

from memory_graph.ingest.conversations.schema import FILES
from memory_graph.ingest.telemetry.decode import from_json
from memory_graph.ingest.topics import DECODERS
from support.server import Serve

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "reference/telemetry-events.md").read_text()
BLOCK = re.compile(r"^```\w+ ([^\n]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXAMPLES = dict(BLOCK.findall(PAGE + (DOCS / "how-to/send-telemetry.md").read_text()))


@pytest.mark.parametrize("topic", DECODERS)
def test_the_example_of_each_topic_is_read(topic: str) -> None:
    (event,) = DECODERS[topic](EXAMPLES[topic].encode(), "application/json")
    assert event.event_id in EXAMPLES[topic]


def test_the_examples_of_a_batch_and_of_a_stream_are_stored(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve()
    url = f"http://127.0.0.1:{server.rest_port}/api/v1/telemetry/batch"
    assert url.partition("/api")[2] in EXAMPLES["POST /api/v1/telemetry/batch"]
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    sent = gzip.compress(EXAMPLES["batch.json"].encode())
    with urllib.request.urlopen(urllib.request.Request(url, sent, headers), timeout=30) as reply:
        answer = json.loads(reply.read())
    assert (answer["batch_id"], answer["status"]) == ("nightly-2026-03-01", "completed")
    exec(EXAMPLES["StreamEvents"].replace("127.0.0.1:50051", server.address), {})
    assert capsys.readouterr().out == "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a78 True \n"


def test_every_payload_field_and_schema_is_named() -> None:
    for name in re.findall(r"`(llm\.[a-z_.]+)`", PAGE):
        kinds = [row for row in PAGE.splitlines() if row.startswith("| `llm.") and f"`{name}`" in row]
        assert kinds or name in DECODERS, name
    folder = re.search(r"\]\(\.\./\.\./(service/[^)]+/schemas)\)", PAGE)
    assert folder is not None
    assert {path.name for path in (Path(__file__).parents[3] / folder[1]).iterdir()} == set(FILES)
    assert from_json(json.dumps(json.loads(EXAMPLES["batch.json"])["events"][0]).encode(), batch=True)
