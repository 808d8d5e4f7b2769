"""kubectl of the version under test, with one kubeconfig."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT_TIMEOUT_S = 180


@dataclass(frozen=True)
class KubectlRunner:
    """A kubectl and a kubeconfig."""

    program: Path
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output.

        :raises RuntimeError: with its error, when it failed.
        """
        done = self.execute(*arguments, stdin=stdin)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)[:200]} failed: {done.stderr.strip()}")
        return done.stdout

    def execute(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def apply(self, objects: list[dict[str, Any]]) -> None:
        """Apply plain objects server-side."""
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.run("apply", "--server-side", "--filename=-", stdin=manifest)

    def wait(self, condition: str, *arguments: str) -> None:
        """Wait until the named objects meet a condition, as `create` or `condition=Ready`."""
        self.run("wait", f"--for={condition}", f"--timeout={WAIT_TIMEOUT_S}s", *arguments)
