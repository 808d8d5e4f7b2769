"""The JSON Schemas (2020-12) of conversation events, generated from their types. Run as a program it writes them to
`schemas/`, where senders find them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from memory_graph.ingest.conversations.bodies import PromptBody, ResponseBody, SessionBody

DIRECTORY = Path(__file__).parent / "schemas"
FILES: dict[str, type[msgspec.Struct]] = {
    "prompt_event.schema.json": PromptBody,
    "response_event.schema.json": ResponseBody,
    "session_event.schema.json": SessionBody,
}


def schema(body: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of a body."""
    generated = msgspec.json.schema(body)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **generated}


def text(body: type[msgspec.Struct]) -> str:
    """Return the content of a body's schema file."""
    return json.dumps(schema(body), indent=2) + "\n"


if __name__ == "__main__":
    for name, body in FILES.items():
        (DIRECTORY / name).write_text(text(body))
