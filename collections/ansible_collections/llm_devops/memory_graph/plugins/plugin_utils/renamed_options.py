# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Old names of suboptions of roles. The schema of role argument specs has no aliases, so they stand here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "workload": {
        "workload_list.pod_anti_affinity": "apart_from",
        "workload_list.automount_service_account_token": "mount_token",
        "workload_list.volumes.items": "entries",
        "workload_list.autoscaling.min_replicas": "least",
        "workload_list.autoscaling.max_replicas": "most",
        "workload_list.autoscaling.metrics.average_value": "average",
        "workload_list.autoscaling.scale_up": "up",
        "workload_list.autoscaling.scale_down": "down",
    }
}
"""By role: the path of a suboption, and the name that is read for it until 1.0.0."""


def add_aliases(role: str, entry_points: Mapping[str, Mapping[str, Any]]) -> None:
    """Give the suboptions of a role their old names as ``aliases``."""
    for entry_point in entry_points.values():
        for path, old_name in RENAMED.get(role, {}).items():
            *parents, name = path.split(".")
            options = entry_point["options"]
            for parent in parents:
                options = options[parent]["options"]
            options.pop(old_name, None)
            options[name]["aliases"] = [old_name]
