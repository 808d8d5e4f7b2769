#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: permissions_info
short_description: The least a deployer must be allowed to do for its releases, as an RBAC manifest
version_added: 0.1.0
description:
  - Derives a ServiceAccount with Roles and their bindings from the objects of a release - every verb that planning,
    applying, waiting, pruning, verifying and recording them needs, and no other.
  - It is the list M(llm_devops.memory_graph.preflight_info) asks after.
  - Reads the API server's discovery only, and creates nothing.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
options:
  name:
    description: Name of the release.
    type: str
    default: memory-graph
  namespace:
    description: Home of the release, and of the ServiceAccount.
    type: str
    required: true
  objects:
    description:
      - The manifests that are going to be released.
      - Each is a dictionary, a C(List) object, or YAML text of one or more documents, as a template gives it.
    type: raw
    required: true
  service_account:
    description: Name of the ServiceAccount, its Roles and bindings. The default is O(name) with C(-deployer) behind it.
    type: str
  history_limit:
    description: How many revisions the release remembers, as in M(llm_devops.memory_graph.release).
    type: int
    default: 10
  delete_data:
    description: Whether it may delete the PersistentVolumeClaims and the Namespace of the release.
    type: bool
    default: false
  optional:
    description:
      - Whether it may also read what makes the release say more - nodes, storage classes, quotas, logs of its pods -
        and put one Pod of each workload before the API server, which preflight does as a dry run.
      - Without it, and without a Namespace among O(objects), it needs nothing at cluster scope.
    type: bool
    default: true
  additional_releases:
    description:
      - What else the deployer makes, each a release with what comes before it, as the database and the brokers of
        O(name). The same ServiceAccount is granted that, too.
    type: list
    elements: dict
    default: []
    aliases: [beside]
    suboptions:
      name:
        description: Name of the release.
        type: str
        required: true
      namespace:
        description: Home of the release.
        type: str
        required: true
      objects:
        description: Its manifests, as in O(objects); none where nothing is released and Secrets are read alone.
        type: raw
        default: []
      history_limit:
        description: How many revisions it remembers.
        type: int
        default: 10
      read_secrets:
        description: Secrets of the namespace that are read.
        type: list
        elements: str
        default: []
        aliases: [reads]
      create_secrets:
        description:
          - Secrets of the namespace that are created when they are missing, as M(llm_devops.memory_graph.prerequisites)
            does.
        type: list
        elements: str
        default: []
        aliases: [makes]
      create_namespace:
        description: Whether the Namespace is created when it is missing. The manifest has it then.
        type: bool
        default: false
        aliases: [brings_namespace]
attributes:
  check_mode:
    support: full
    description: Reads only.
notes:
  - Writes are restricted to the names of the release's objects. Lists, watches, the lock's creation and that of Secrets
    which are made once cannot be.
    Whoever may create pods can read the Secrets of the namespace by mounting them, and a deployer may.
  - A deployer holds what the Roles of the release grant, since RBAC lets nobody grant more than they have.
    For a Role of somebody else that the release binds it gets C(bind) on that one name. C(escalate) is never granted.
  - Print it again when objects are added. Names that left the release may then no longer be deleted, so
    let the old manifest stand until they are pruned.
"""

EXAMPLES = r"""
- name: Derive what the deployer must be allowed to do
  llm_devops.memory_graph.permissions_info:
    namespace: llm-memory-graph
    objects: "{{ objects }}"
  register: deployer

- name: Print it for kubectl apply -f -
  ansible.builtin.debug:
    msg: "{{ deployer.manifest }}"
"""

RETURN = r"""
objects:
  description: Namespace (when the release brings it), ServiceAccount, Roles and bindings.
  returned: always
  type: list
  elements: dict
manifest:
  description: The same as YAML.
  returned: always
  type: str
needs:
  description:
    - What is needed one by one, each C(verb) on C(resource) of C(group), in C(namespace) unless empty, on C(name)
      unless empty, for C(purpose); C(essential) unless the release goes on without it.
  returned: always
  type: list
  elements: dict
"""

from dataclasses import asdict
from typing import Any

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._ansible import ClusterModule, sentence
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._kubeconfig import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._permissions import (
    PlannedRelease,
    manifest,
    required_permissions,
)


def renamed(alias: str) -> dict[str, Any]:
    """Keys of an argument spec that keep the old name of an option for one release."""
    deprecation = {"name": alias, "version": "1.0.0", "collection_name": "llm_devops.memory_graph"}
    return {"aliases": [alias], "deprecated_aliases": [deprecation]}


OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "default": "memory-graph"},
    "namespace": {"type": "str", "required": True},
    "objects": {"type": "raw", "required": True},
    "service_account": {"type": "str"},
    "history_limit": {"type": "int", "default": 10},
    "delete_data": {"type": "bool", "default": False},
    "optional": {"type": "bool", "default": True},
    "additional_releases": {
        "type": "list",
        "elements": "dict",
        "default": [],
        **renamed("beside"),
        "options": {
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            "objects": {"type": "raw", "default": []},
            "history_limit": {"type": "int", "default": 10},
            "read_secrets": {"type": "list", "elements": "str", "default": [], "no_log": False, **renamed("reads")},
            "create_secrets": {"type": "list", "elements": "str", "default": [], "no_log": False, **renamed("makes")},
            "create_namespace": {"type": "bool", "default": False, **renamed("brings_namespace")},
        },
    },
}


def planned(release: dict[str, Any], discovery: Discovery, *, delete_data: bool) -> PlannedRelease:
    """Return the plan of one release.

    Raises:
        ClusterError: when the cluster does not know a kind, whose resource nobody can be granted then.
    """
    objects = prepared(release["objects"], release["name"], release["namespace"])
    brought = {item["spec"]["names"]["kind"] for item in objects if item["kind"] == "CustomResourceDefinition"}
    for version, kind in sorted({(item["apiVersion"], item["kind"]) for item in objects}):
        if kind not in brought and discovery.find(version, kind) is None:
            raise ClusterError(
                f"the cluster does not know {kind} of {version}, which release {release['name']} has",
                "install its CustomResourceDefinition, then print again",
            )
    return PlannedRelease(
        release["name"], release["namespace"], objects, discovery.find, delete_data, release["history_limit"],
        tuple(release.get("read_secrets", ())), tuple(release.get("create_secrets", ())),
        release.get("create_namespace", False),
    )  # fmt: skip


@sentence
def main() -> None:
    module = ClusterModule(OPTIONS, supports_check_mode=True)
    params = module.params
    account = params["service_account"] or f"{params['name']}-deployer"
    try:
        discovery = Discovery(module.connect())
        releases = [params, *params["additional_releases"]]
        plans = [planned(release, discovery, delete_data=params["delete_data"]) for release in releases]
        manifest_objects = manifest(*plans, account=account, optional=params["optional"])
        needed = [asdict(permission) for permission in required_permissions(*plans)]
    except ClusterError as error:
        module.refuse(error)
    text = yaml.safe_dump_all(manifest_objects, sort_keys=False, default_flow_style=False, explicit_start=True)
    module.done(changed=False, objects=manifest_objects, manifest=text, needs=needed)


if __name__ == "__main__":
    main()
