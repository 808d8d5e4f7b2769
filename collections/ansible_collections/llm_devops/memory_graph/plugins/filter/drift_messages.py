# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filters: what differs between a release and its record, for people and as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def drift_messages(release: Mapping[str, Any]) -> list[str]:
    """Return a line for each difference that the module ``release_info`` reports."""
    messages = [release["drift_unknown"]] if release["drift_unknown"] else []
    if release["state"] == "pending":
        messages.append(f"revision {release['revision']} is pending: a deployment is at work, or was cut off")
    messages += [difference["text"] for difference in release["drift"]]
    messages += [
        f"{orphan['kind']}/{orphan['name']}  carries the label of the release and is not in its record"
        for orphan in release["orphans"]
    ]
    return messages or ["no drift"]


def drift_reports(hosts: list[str], hostvars: Mapping[str, Mapping[str, Any]], variable: str) -> dict[str, Any]:
    """Return the differences of every cluster that was asked, by its name in the inventory.

    :param variable: the variable that has the result of ``release_info``.
    """
    releases = {host: hostvars[host][variable] for host in hosts if variable in hostvars[host]}
    return {
        host: {
            "revision": release["revision"],
            "state": release["state"],
            "unknown": release["drift_unknown"],
            "drift": release["drift"],
            "orphans": release["orphans"],
        }
        for host, release in releases.items()
    }


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"drift_messages": drift_messages, "drift_reports": drift_reports}
