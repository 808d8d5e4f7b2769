# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Progress as JSON lines in a file, from the module to the action plugin beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path


def writer(path: str | None) -> Callable[[str, str], None]:
    """A function ``(label, text)`` that appends one line; without a path it does nothing."""

    def write(label: str, text: str) -> None:
        if path:
            with Path(path).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"label": label, "text": text}) + "\n")

    return write
