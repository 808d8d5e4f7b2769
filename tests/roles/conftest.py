"""Runs the checkout's roles as a user would, with ansible-playbook, in a folder of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
Play = Callable[..., "PlayResult"]


class PlayResult:
    """The output of a run of one role."""

    def __init__(self, completed: subprocess.CompletedProcess[str]) -> None:
        self.returncode = completed.returncode
        self.output = completed.stdout + completed.stderr

    @property
    def failure(self) -> str:
        """The message of the task that stopped the play, on one line."""
        results = re.findall(r"^(?:fatal|failed): \[localhost\].*?=> (\{.*\})$", self.output, flags=re.MULTILINE)
        assert results, f"no task failed:\n{self.output}"
        return " ".join(str(json.loads(results[-1])["msg"]).split())


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs a role with variables; programs found earlier on the PATH can be given as scripts by name."""

    def run(
        role: str, variables: dict[str, Any], programs: dict[str, str] | None = None, tasks_from: str = "main"
    ) -> PlayResult:
        fakes = tmp_path / "programs"
        fakes.mkdir(exist_ok=True)
        for name, script in (programs or {}).items():
            (fakes / name).write_text(script)
            (fakes / name).chmod(0o755)
        playbook = tmp_path / "play.yml"
        playbook.write_text(
            json.dumps(
                [
                    {
                        "hosts": "localhost",
                        "connection": "local",
                        "gather_facts": False,
                        "vars": {"ansible_python_interpreter": sys.executable},
                        "tasks": [
                            {"ansible.builtin.include_role": {"name": role, "tasks_from": tasks_from}},
                            {"ansible.builtin.debug": {"msg": "ref={{ service_image_ref | default('') }}."}},
                            {"ansible.builtin.debug": {"msg": "refs={{ backend_images_refs | default({}) }}"}},
                            {"ansible.builtin.debug": {"msg": "refs={{ monitoring_images_refs | default({}) }}"}},
                        ],
                    }
                ]
            )
        )
        values = {f"{role}_cache_dir": str(tmp_path / "cache"), **variables}
        environment = {
            **os.environ,
            "PATH": f"{fakes}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
            "ANSIBLE_NOCOLOR": "1",
            "MEMORY_GRAPH_NODE_ARCHIVE": "",
            "MEMORY_GRAPH_KIND_BINARY": "",
        }
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            "localhost,",
            str(playbook),
            "-e",
            json.dumps(values),
        ]
        return PlayResult(
            subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        )

    return run


def assert_none_is_built(play: Play, role: str, images: set[str], calls: Path) -> None:
    """Runs a role that makes images beside a Docker that has these. calls: a file for what that is asked."""
    listed = "\n".join(images)
    existing = f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1 $2" != "image ls" ] || echo "{listed}"\n'
    result = play(role, {}, {"docker": existing})
    assert result.returncode == 0, result.output
    assert "changed=0" in result.output
    assert not re.search(r"^(build|pull|run)", calls.read_text(), flags=re.MULTILINE)
