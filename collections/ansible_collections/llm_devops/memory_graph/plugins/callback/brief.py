# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Shows what a deployment means, and not what Ansible does."""

from __future__ import annotations

DOCUMENTATION = r"""
name: brief
type: stdout
short_description: One line for what matters, nothing for the rest
version_added: 0.1.0
description:
  - Tasks that went well show nothing, except lines they report themselves - results with C(report) or
    C(memory_graph_report), a dictionary with C(label) and C(text) or a list of them, and the messages of
    M(ansible.builtin.debug).
  - Failures are shown as text and not as JSON, diffs as usual.
  - With C(-v) the output is that of P(ansible.builtin.default#callback).
extends_documentation_fragment: [default_callback, result_format_callback]
requirements:
  - Set as C(stdout_callback) in configuration.
"""

import shutil
import sys
from typing import Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as Default

LABEL_WIDTH = 11


def lines(result: dict[str, Any], action: str) -> list[str]:
    """Return the lines that a task that went well reports."""
    messages: list[str] = []
    for key in ("report", "memory_graph_report"):
        entries = result.get(key) or (result.get("ansible_facts") or {}).get(key) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            if isinstance(entry, dict) and {"label", "text"} <= set(entry) and not result.get("report_shown"):
                messages += labelled(str(entry["label"]), str(entry["text"]))
    if action in ("debug", "ansible.builtin.debug") and "msg" in result:
        message = result["msg"]
        messages += [str(item) for item in message] if isinstance(message, list) else str(message).splitlines()
    return messages


def labelled(label: str, text: str) -> list[str]:
    """``label  text``, further lines of the text under the first."""
    first, *rest = text.splitlines() or [""]
    return [f"{label:<{LABEL_WIDTH}} {first}".rstrip(), *(f"{'':<{LABEL_WIDTH}} {line}" for line in rest)]


class CallbackModule(Default):  # type: ignore[misc]
    """Prints a short report of a play; the default callback prints the rest, and everything with -v."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "llm_devops.memory_graph.brief"

    def __init__(self) -> None:
        super().__init__()
        self._transient = False

    @property
    def _verbose(self) -> bool:
        return bool(self._display.verbosity > 0)

    def _show(self, text: str, color: str | None = None) -> None:
        self._clear()
        self._display.display(text, color=color)

    def _clear(self) -> None:
        if self._transient:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()
            self._transient = False

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self._verbose:
            super().v2_playbook_on_play_start(play)
        else:
            self._play = play

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        if self._verbose:
            super().v2_playbook_on_task_start(task, is_conditional)
        elif sys.stdout.isatty():
            self._clear()
            if not task.action.endswith(
                ("memory_graph.release", "memory_graph.run_modules")
            ):  # show their own progress
                room = shutil.get_terminal_size().columns - 1
                sys.stdout.write(f"{'…':<{LABEL_WIDTH}} {task.get_name()}"[:room])
                sys.stdout.flush()
                self._transient = True

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        if self._verbose:
            super().v2_playbook_on_handler_task_start(task)

    def v2_playbook_on_cleanup_task_start(self, task: Any) -> None:
        if self._verbose:
            super().v2_playbook_on_cleanup_task_start(task)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if self._verbose:
            super().v2_playbook_on_include(included_file)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if self._verbose:
            super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:
        if self._verbose:
            super().v2_runner_on_ok(result)
        elif not result.task.loop:  # a loop's items were shown one by one
            self._show_lines(result)

    def _show_lines(self, result: Any) -> None:
        for line in lines(result.result, result.task.action):
            self._show(line)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        if self._verbose:
            super().v2_runner_item_on_ok(result)
        else:
            self._show_lines(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        if self._verbose:
            super().v2_runner_on_skipped(result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        if self._verbose:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        if self._verbose:
            super().v2_runner_item_on_failed(result)
        else:
            self._failure(result, False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if self._verbose:
            super().v2_runner_on_failed(result, ignore_errors)
        elif not result.result.get("results"):  # a loop's items were shown one by one
            self._failure(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if self._verbose:
            super().v2_runner_on_unreachable(result)
        else:
            self._failure(result, False)

    def v2_runner_retry(self, result: Any) -> None:
        if self._verbose:
            super().v2_runner_retry(result)
        else:
            retries_left = result.result["retries"] - result.result["attempts"]
            self._show(*labelled("retry", f"{result.task.get_name()} ({result.host.get_name()}), {retries_left} left"))

    def v2_runner_on_async_poll(self, result: Any) -> None:
        if self._verbose:
            super().v2_runner_on_async_poll(result)

    def _failure(self, result: Any, ignored: bool) -> None:
        data = result.result
        for entry in data.get("report") or []:  # how far it came
            if not data.get("report_shown"):
                self._show("\n".join(labelled(entry["label"], entry["text"])))
        text = str(data.get("msg") or "no message").strip()
        for key in ("stderr", "module_stderr"):
            if str(data.get(key) or "").strip():
                text += "\n" + "\n".join(str(data[key]).strip().splitlines()[-10:])
        label, name = "ignored" if ignored else "failed", data.get("step") or result.task.get_name()
        color = constants.COLOR_SKIP if ignored else constants.COLOR_ERROR
        self._show("\n".join(labelled(label, f"{name} ({result.host.get_name()})")), color)
        self._show("\n".join(f"  {line}" for line in text.splitlines()), color)

    def v2_on_file_diff(self, result: Any) -> None:
        self._clear()
        super().v2_on_file_diff(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._clear()
        if self._verbose:
            super().v2_playbook_on_stats(stats)
