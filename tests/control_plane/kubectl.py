"""kubectl of the version under test, with one kubeconfig."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT_SECONDS = 180


@dataclass(frozen=True)
class Kubectl:
    """One way to one cluster."""

    program: Path
    kubeconfig: Path

    def run(self, *arguments: str, given: str | None = None) -> str:
        """What it printed.

        :raises RuntimeError: with what it said, when it failed.
        """
        done = self.tried(*arguments, given=given)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)[:200]} failed: {done.stderr.strip()}")
        return done.stdout

    def tried(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False)

    def apply(self, objects: list[dict[str, Any]]) -> None:
        """Server-side apply of plain objects."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.run("apply", "--server-side", "--filename=-", given=listed)

    def wait(self, condition: str, *arguments: str) -> None:
        """Returns once the objects named are so: `create`, `condition=Ready` and the like."""
        self.run("wait", f"--for={condition}", f"--timeout={WAIT_SECONDS}s", *arguments)
