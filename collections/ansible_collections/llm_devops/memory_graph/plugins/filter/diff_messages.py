# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filters: what a deployment would change, for people and as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

MARKS = {"created": "+", "configured": "~", "pruned": "-"}


def diff_messages(plan: Mapping[str, Any], host: str = "") -> list[str]:
    """Return a line for each field that differs, and a sum.

    :param plan: the result of the module ``release`` in check mode.
    :param host: the cluster that every line names; empty for none.
    """
    prefix, changes = f"{host}  " if host else "", plan["changes"]
    width = 2 + max((len(f"{change['kind']}/{change['name']}") for change in changes), default=0)
    messages = []
    for change in changes:
        label = f"{MARKS[change['action']]} {change['kind']}/{change['name']}"
        for index, line in enumerate(change["lines"]):
            messages.append(f"{prefix}{'' if index else label:<{width}}  {line}")
    differ, same = len(changes), plan["summary"]["unchanged"]
    messages.append(
        f"{prefix}{differ} {'object differs' if differ == 1 else 'objects differ'}; {same}"
        f"{' is as it' if same == 1 else ' are as they'} should be. Nothing was changed."
    )
    return messages


def diff_reports(hosts: list[str], hostvars: Mapping[str, Mapping[str, Any]], variable: str) -> dict[str, Any]:
    """Return the changes of every cluster that was asked, by its name in the inventory.

    :param variable: the variable that has the result of ``release``.
    """
    return {host: hostvars[host][variable]["changes"] for host in hosts if variable in hostvars[host]}


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"diff_messages": diff_messages, "diff_reports": diff_reports}
