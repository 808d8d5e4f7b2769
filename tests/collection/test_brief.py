"""The output of the brief callback, word for word; a diff as by the default callback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAY = """
- name: Everything a task can come to
  hosts: here
  gather_facts: false
  tasks:
    - name: Well
      ansible.builtin.command: echo hello
      changed_when: false
      tags: [quiet]
    - name: Changed
      ansible.builtin.command: echo hello
      changed_when: true
      tags: [quiet]
    - name: Skipped
      ansible.builtin.command: echo hello
      changed_when: false
      when: false
      tags: [quiet]
    - name: Reports
      ansible.builtin.set_fact:
        memory_graph_report: {label: verify, text: "one\\ntwo"}
      tags: [report]
    - name: Says
      ansible.builtin.debug: {msg: "said {{ item }}"}
      loop: [one, two]
      tags: [report]
    - name: Differs
      ansible.builtin.copy: {content: "new\\n", dest: "{{ folder }}/file", mode: "0600"}
      check_mode: true
      tags: [diff]
    - name: Tries again
      ansible.builtin.assert: {that: false, fail_msg: not yet, quiet: true}
      retries: 2
      delay: 0
      until: false
      tags: [retry]
    - name: Fails in a loop
      ansible.builtin.assert: {that: "item != 'two'", fail_msg: "{{ item }} is wrong", quiet: true}
      loop: [one, two]
      tags: [loop]
    - name: Fails and goes on
      ansible.builtin.fail: {msg: "what was wrong\\nthe way out"}
      ignore_errors: true
      tags: [ignored]
    - name: Fails
      ansible.builtin.fail: {msg: what was wrong}
      tags: [failed]
- name: Nobody there
  hosts: away
  gather_facts: false
  tasks:
    - name: Reach
      ansible.builtin.ping:
      tags: [unreachable]
"""
INVENTORY = """
all:
  hosts:
    here: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
    away: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
"""
OUTPUT_BY_TAG = {
    "quiet": (0, []),
    "report": (0, ["verify      one", "            two", "said one", "said two"]),
    "diff": (
        0,
        ["", "TASK [Differs] ".ljust(80, "*"), "--- before", "+++ after: {folder}/file", "@@ -0,0 +1 @@", "+new", ""],
    ),
    "retry": (
        2,
        [
            "retry       Tries again (here), 2 left",
            "retry       Tries again (here), 1 left",
            "failed      Tries again (here)",
            "  not yet",
        ],
    ),
    "loop": (2, ["failed      Fails in a loop (here)", "  two is wrong"]),
    "ignored": (0, ["ignored     Fails and goes on (here)", "  what was wrong", "  the way out"]),
    "failed": (2, ["failed      Fails (here)", "  what was wrong"]),
}


def run(collection: Path, folder: Path, tag: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "play.yml").write_text(PLAY)
    (folder / "inventory.yml").write_text(INVENTORY)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(collection.parents[2]), "ANSIBLE_HOME": str(folder / ".ansible"),
        "ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "llm_devops.memory_graph.brief",
    }  # fmt: skip
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventory.yml", "play.yml", "--tags", tag,
               "-e", f"folder={folder}", *arguments]  # fmt: skip
    return subprocess.run(command, cwd=folder, env=inherited | settings, check=False, text=True, timeout=200,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip


@pytest.mark.parametrize("tag", OUTPUT_BY_TAG)
def test_it_prints_what_matters_and_nothing_else(collection, tmp_path, tag):
    done = run(collection, tmp_path, tag, *(["--diff"] if tag == "diff" else []))
    code, lines = OUTPUT_BY_TAG[tag]
    assert (done.returncode, done.stdout.splitlines()) == (code, [line.format(folder=tmp_path) for line in lines])


def test_a_host_that_is_not_there_is_named(collection, tmp_path):
    done = run(collection, tmp_path, "unreachable")
    assert done.returncode == 4
    first, second, *_ = done.stdout.splitlines()
    assert first == "failed      Reach (away)"
    assert "Failed to connect" in second or "refused" in second


def test_more_words_are_those_of_the_default_callback(collection, tmp_path):
    text = run(collection, tmp_path, "quiet", "-v").stdout
    assert "TASK [Changed]" in text
    assert "changed: [here]" in text
    assert "PLAY RECAP" in text
