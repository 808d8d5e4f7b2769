"""Progress of the release module in a terminal and elsewhere, with a module in its place that needs no cluster."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

STAND_IN = """
import json, sys, time
from pathlib import Path
from ansible.module_utils.basic import AnsibleModule

OPTIONS = {"name": {}, "progress_file": {}, "hold": {"type": "bool"}}

def main():
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if module.params["progress_file"]:
        with Path(module.params["progress_file"]).open("a") as stream:
            stream.write("not a line of progress\\n")
            stream.write(json.dumps({"label": "wait", "text": module.params["name"] + " came"}) + "\\n")
            stream.write('{"label": "half')
    while module.params["hold"]:
        time.sleep(0.1)
    module.exit_json(changed=False, report=[{"label": "done", "text": module.params["name"] + " done"}])

if __name__ == "__main__":
    main()
"""
PLAY = """
- name: Ways to run it
  hosts: localhost
  connection: local
  gather_facts: false
  strategy: "{{ strategy }}"
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - name: Before, which a terminal shows while it runs
      ansible.builtin.set_fact: {before: true}
    - name: Plainly
      llm_devops.memory_graph.release: {name: plain}
    - name: In check mode
      check_mode: true
      llm_devops.memory_graph.release: {name: check}
    - name: In a loop
      llm_devops.memory_graph.release: {name: "{{ item }}"}
      loop: [one, two]
    - name: Delegated
      delegate_to: 127.0.0.1
      llm_devops.memory_graph.release: {name: delegated}
    - name: By another Python
      vars: {ansible_python_interpreter: "{{ playbook_dir }}/python"}
      llm_devops.memory_graph.release: {name: another}
    - name: In the background
      llm_devops.memory_graph.release: {name: background}
      async: 60
      poll: 1
"""
HELD = """
- name: Never ends by itself
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Hold
      llm_devops.memory_graph.release: {name: held, hold: true}
"""
PROGRESS_NAMES = ["plain", "check", "one", "two", "delegated", "another"]


@pytest.fixture(scope="module")
def playground(collection: Path, tmp_path_factory) -> Path:
    """A folder with playbooks and a copy of the collection, whose release module is the stand-in."""
    folder = tmp_path_factory.mktemp("playground")
    copy = folder / "collections/ansible_collections/llm_devops/memory_graph"
    shutil.copytree(collection / "plugins", copy / "plugins")
    for name in ("galaxy.yml", "meta"):
        source = collection / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    (copy / "plugins/modules/release.py").write_text(STAND_IN)
    (folder / "play.yml").write_text(PLAY)
    (folder / "held.yml").write_text(HELD)
    another = folder / "python"
    another.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    another.chmod(0o755)
    return folder


class Terminal:
    """A playbook run on a pseudo-terminal, and the text that appears there."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._master, replica = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=replica, stdout=replica, stderr=replica, start_new_session=True
        )
        os.close(replica)

    def read_until(self, condition: Callable[[str], bool] = lambda text: False) -> str:
        """Return the text of the terminal once the condition holds, or once every process has closed it."""
        while not condition(self.text):
            try:
                added = os.read(self._master, 65536)
            except OSError:  # how Linux says that the other end is closed
                added = b""
            if not added:
                break
            self.text += added.decode(errors="replace").replace("\r\n", "\n")
        return self.text


def environment(folder: Path, **more: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_") and key != "JOB_ID"}
    return inherited | {
        "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "ANSIBLE_HOME": str(folder / ".ansible"),
        "ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "llm_devops.memory_graph.brief", "TERM": "xterm",
        "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_ASYNC_DIR": str(folder / "async"), **more,
    }  # fmt: skip


def command(playbook: str, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", playbook, *arguments]


def progress_names(text: str) -> list[str]:
    """Return the names in the lines of progress, in their order."""
    lines = [line.split() for line in text.replace("\r\033[K", "\n").splitlines()]  # a cleared line begins anew
    return [line[1] for line in lines if len(line) == 3 and line[0] == "wait" and line[2] == "came"]


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_terminal_sees_each_line_once(playground, strategy):
    terminal = Terminal(command("play.yml", "-e", f"strategy={strategy}"), playground, environment(playground))
    text = terminal.read_until()
    assert terminal.process.wait(60) == 0, text
    assert progress_names(text) == PROGRESS_NAMES
    assert "background done" in text  # a task in the background reports at its end
    assert "plain done" not in text


def test_awx_with_a_terminal_of_its_own_stays_quiet(playground):
    terminal = Terminal(command("play.yml", "-e", "strategy=linear"), playground, environment(playground, JOB_ID="7"))
    text = terminal.read_until()
    assert terminal.process.wait(60) == 0, text
    assert progress_names(text) == []
    assert "plain done" in text


@pytest.mark.parametrize(("arguments", "lines"), [((), []), (("-v",), PROGRESS_NAMES)], ids=["quiet", "-v"])
def test_a_pipe_sees_progress_only_when_asked_for(playground, arguments, lines):
    done = subprocess.run(
        command("play.yml", "-e", "strategy=linear", *arguments), cwd=playground, env=environment(playground),
        check=False, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert progress_names(done.stdout) == lines
    assert ("plain done" in done.stdout) or arguments


@pytest.mark.parametrize(
    "python", ["{{ ansible_playbook_python }}", "{{ playbook_dir }}/python"], ids=["ours", "another"]
)
def test_an_interrupt_ends_a_run_that_shows_progress(playground, python):
    arguments = ["-e", f"ansible_python_interpreter={python}"]
    terminal = Terminal(command("held.yml", *arguments), playground, environment(playground))
    assert "held" in progress_names(terminal.read_until(lambda text: bool(progress_names(text))))
    os.killpg(terminal.process.pid, signal.SIGINT)
    text = terminal.read_until()
    assert terminal.process.wait(60) != 0
    assert "Traceback" not in text
