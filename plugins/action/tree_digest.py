"""Digests of the files in a folder, hashed once in the process of the task.

Options:
  path (path, required)        the folder
  parts (list, required)       regular expressions that a file's path and a blank after it begin with
Returns rows, for each file "path digest": the path from the folder on, and the SHA-256 of its content in hexadecimal.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc] # ansible-core ships no types
    """Works on the controller alone, where the sources are."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "path": {"type": "path", "required": True},
                "parts": {"type": "list", "elements": "str", "required": True},
            },
        )
        try:
            rows = list(digests(Path(args["path"]), re.compile("|".join(args["parts"]))))
        except OSError as error:
            return {**result, "failed": True, "msg": f"{error.filename} cannot be read: {error.strerror}"}
        return {**result, "changed": False, "rows": rows}


def digests(folder: Path, parts: re.Pattern[str]) -> Iterator[str]:
    """Yield a row for each regular file that is one of the parts, except compiled Python.

    Raises:
        OSError: when a file cannot be read.
    """
    for root, _folders, names in os.walk(folder):
        for name in names:
            file = Path(root, name)
            path = str(file.relative_to(folder))
            if parts.match(f"{path} ") and not name.endswith(".pyc") and file.is_file() and not file.is_symlink():
                yield f"{path} {hashlib.sha256(file.read_bytes()).hexdigest()}"
