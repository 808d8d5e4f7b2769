"""Every command and program of the tutorial and of the README runs, and answers as the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from support.server import Serve, ServerProcess

ROOT = Path(__file__).parents[3]
TUTORIAL = ROOT / "docs/tutorial/first-graph.md"
README = ROOT / "README.md"
NOT_RUN = {"sh install", "sh serve"}
"""What the fixture does instead: the package is installed, the server runs on free ports."""
SEPARATOR = "\N{END OF TRANSMISSION}"
PLACEHOLDERS = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d", "TIME"),
    (r"up \d+ s|[0-9.]+ m?s\b|\"processing_time_ms\":[0-9.]+", "DURATION"),
    (r" +$", ""),
)


class Block(NamedTuple):
    """A fenced block of a page."""

    info: str
    text: str


def blocks(page: Path) -> list[Block]:
    fenced = re.findall(r"^```(\w[^\n]*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [Block(*pair) for pair in fenced]


def run(commands: list[str], folder: Path, server: ServerProcess) -> list[str]:
    """The output of each command, in one shell, against that server."""
    script = f"echo -n '{SEPARATOR}'\n".join(commands)
    for default, port in (("127.0.0.1:50051", server.port), ("127.0.0.1:8080", server.rest_port)):
        script = script.replace(default, f"127.0.0.1:{port}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        check=False,
        env={**os.environ, "PATH": path, "MEMORY_GRAPH_ADDRESS": server.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout.split(SEPARATOR)


def comparable(output: str) -> str:
    for pattern, placeholder in PLACEHOLDERS:
        output = re.sub(pattern, placeholder, output, flags=re.MULTILINE)
    return output.strip()


def test_the_tutorial_does_what_it_shows(serve: Serve, tmp_path: Path) -> None:
    page = blocks(TUTORIAL)
    assert [block.info for block in page[:2]] == ["sh install", "sh serve"]
    commands, expected = [], []
    for block, following in zip(page, [*page[1:], Block("", "")], strict=True):
        if block.info == "sh":
            commands.append(block.text)
            expected.append(following.text if following.info == "text" else None)
        elif block.info.startswith("python "):
            commands.append(f"cat > {block.info.split()[1]} <<'PROGRAM'\n{block.text}PROGRAM\n")
            expected.append(None)
        else:
            assert block.info in {"text", *NOT_RUN}, f"nobody runs a block of {block.info}"
    outputs = run(commands, tmp_path, serve())
    for command, output, expected_output in zip(commands, outputs, expected, strict=True):
        if expected_output is not None:
            assert comparable(output) == comparable(expected_output), command
    assert sum(expected_output is not None for expected_output in expected) == 6


def test_the_program_of_the_readme_runs(serve: Serve, tmp_path: Path) -> None:
    (program,) = [block for block in blocks(README) if block.info == "python"]
    (output,) = run([f"python - <<'PROGRAM'\n{program.text}PROGRAM\n"], tmp_path, serve())
    assert output.splitlines() == ["prompt Which train is the fastest?"]
