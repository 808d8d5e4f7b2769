#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Make a set of Kubernetes objects so, and wait until they work
version_added: 0.1.0
description:
  - Applies all objects of a release in one call - one connection, server-side apply, in waves and in parallel -
    and then waits for all of them.
  - Every object is first applied as a dry run. What the API server refuses is therefore known before the first write,
    C(changed) depends on fields of this release alone, and a run that finds everything in place writes nothing.
  - Objects that left the release are deleted once the new ones are ready, except
    PersistentVolumeClaims and Namespaces.
  - Each revision's objects are kept in the cluster, without the values of Secrets, so that O(revision) can bring
    them back.
  - A Lease C(<name>-release) lets one deployment of a release work at a time. A run that is stopped (SIGINT, SIGTERM)
    gives it back; one that is killed leaves it to expire after 20 seconds. Either way the next run goes on.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
options:
  name:
    description: Name of the release. Its record is the Secret C(<name>-release).
    type: str
    required: true
  namespace:
    description:
      - Home of the release - of its record, and of objects that name no namespace.
      - An object of the release may create it.
    type: str
    required: true
  state:
    description: V(present) applies, V(absent) deletes the members of the release.
    type: str
    choices: [present, absent]
    default: present
  objects:
    description:
      - The manifests. O(state=present) needs them, or O(revision).
      - Each is a dictionary, a C(List) object, or YAML text of one or more documents, as a template gives it. Text is
        read as kubectl reads it.
      - What is empty (null) is unset, and what the API server or a controller writes, such as C(status), is not sent.
      - The annotation C(memory-graph.llm-devops/wave), an integer, overrules the wave of the object's kind.
    type: raw
  revision:
    description:
      - Number of the revision whose objects are released again, as a new revision; V(0) is the last deployed one before
        the current.
      - Values of Secrets stay as they are; a Secret that is gone, a volume that would shrink and the like are refused.
    type: int
  history_limit:
    description: How many revisions are remembered, the current one among them. The last deployed one always is.
    type: int
    default: 10
  lock_timeout:
    description: Seconds to wait for another deployment of this release to finish. V(0) refuses at once.
    type: int
    default: 0
  rollback_command:
    description:
      - What a failure tells people to run for a rollback; C({revision}) in it stands for the number. By default this
        module with O(revision).
    type: str
  wait:
    description: Whether to wait until all objects are ready, or gone.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait. What cannot heal ends the wait at once.
    type: int
    default: 300
  force_conflicts:
    description:
      - Whether to take over fields that another field manager owns, and objects of a Helm release.
      - Objects that client-side C(kubectl apply) made are taken over in any case, with the fields it applied; what the
        manifest leaves out of them goes.
      - Of objects that C(kubectl create) and the like made, what the manifest leaves out stays; a note names it.
    type: bool
    default: false
  parallelism:
    description: How many objects are sent at a time.
    type: int
    default: 8
  delete_data:
    description: Whether PersistentVolumeClaims and Namespaces that leave the release are deleted as well.
    type: bool
    default: false
  progress_file:
    description: File to which progress is written as JSON lines. The action plugin sets it; there is no need to.
    type: path
attributes:
  check_mode:
    support: full
    description:
      - Asks the API server (dry run). Says what cannot be validated yet, as in a namespace that does not exist.
  diff_mode:
    support: full
    description: Shows fields of the release only; values of Secrets are keyed hashes.
notes:
  - Needs Kubernetes 1.27 or later.
"""

EXAMPLES = r"""
- name: Release two objects
  llm_devops.memory_graph.release:
    name: demo
    namespace: demo
    objects:
      - {apiVersion: v1, kind: Namespace, metadata: {name: demo}}
      - {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {LOG_LEVEL: info}}

- name: Release what a template renders
  llm_devops.memory_graph.release:
    name: demo
    namespace: demo
    objects: "{{ lookup('ansible.builtin.template', 'demo.yaml.j2') }}"

- name: Go back to its third revision
  llm_devops.memory_graph.release:
    name: demo
    namespace: demo
    revision: 3

- name: Remove the release, keep its volumes
  llm_devops.memory_graph.release:
    name: demo
    namespace: demo
    state: absent
"""

RETURN = r"""
actions:
  description: What was done with each object, or would be in check mode.
  returned: always
  type: list
  elements: dict
  sample: [{kind: ConfigMap, api_version: v1, namespace: demo, name: settings, action: created}]
summary:
  description: Numbers of objects C(created), C(changed), C(unchanged), C(pruned).
  returned: always
  type: dict
changes:
  description:
    - Per object that differs its C(action) (created, configured or pruned), the owned C(fields) that differ, each with
      C(path), C(before) and C(after), and the same as C(lines) for a person. Values of Secrets are keyed hashes.
    - Of a created object C(object) is all of it.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: Deployment
      api_version: apps/v1
      namespace: demo
      name: web
      action: configured
      note: ""
      fields: [{path: spec.replicas, before: 3, after: 4}]
      lines: ["spec.replicas: 3 → 4"]
statuses:
  description: Per object its C(state) (ready, progressing or failed) and C(reason).
  returned: when waited
  type: list
  elements: dict
failures:
  description: Per failed object C(message), C(why), C(way_out), C(events), C(log) and C(kept), what still serves.
  returned: always
  type: list
  elements: dict
revision:
  description: Number of the revision that is now current.
  returned: always
  type: int
timings:
  description: Seconds each phase took.
  returned: always
  type: dict
api_calls:
  description: Number of requests sent to the API server.
  returned: always
  type: int
report:
  description: Lines for a person, each a C(label) and a C(text).
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._ansible import ClusterModule, sentence
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import (
    Outcome,
    Release,
    ReleaseParams,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import (
    changed_lines,
    entries,
    failure_text,
    progress_writer,
    result,
    unified,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._signals import Interrupted, interruptible

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "objects": {"type": "raw"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "force_conflicts": {"type": "bool", "default": False},
    "parallelism": {"type": "int", "default": 8},
    "delete_data": {"type": "bool", "default": False},
    "revision": {"type": "int"},
    "history_limit": {"type": "int", "default": 10},
    "lock_timeout": {"type": "int", "default": 0},
    "rollback_command": {"type": "str"},
    "progress_file": {"type": "path"},
}
MINIMUMS = {"revision": 0, "history_limit": 1, "lock_timeout": 0, "wait_timeout": 0, "parallelism": 1}
RELEASE_OPTIONS = (
    "name", "namespace", "objects", "wait", "wait_timeout", "force_conflicts", "parallelism", "delete_data", "revision",
    "history_limit", "lock_timeout",
)  # fmt: skip


def run(module: ClusterModule, release: Release) -> Outcome:
    """Deploy or remove the release. End the module when that is not possible, or on a signal."""
    try:
        with interruptible():
            return release.present() if module.params["state"] == "present" else release.absent()
    except Interrupted as stopped:
        stop = ClusterError(f"stopped by {stopped}. {release.outcome.status}", "run again: it goes on from here")
        module.refuse(stop, **result(release.outcome, release.cluster, check=module.check_mode))
    except ClusterError as error:
        module.refuse(error, report=release.outcome.report)


@sentence
def main() -> None:
    module = ClusterModule(
        OPTIONS,
        supports_check_mode=True,
        required_if=[("state", "present", ["objects", "revision"], True)],
        mutually_exclusive=[("objects", "revision")],
    )
    for option, minimum in MINIMUMS.items():
        if module.params[option] is not None and module.params[option] < minimum:
            module.refuse(ClusterError(f"{option} is {module.params[option]}", f"give {minimum} or more"))
    release_params = ReleaseParams(
        check=module.check_mode,
        rollback_command=module.params["rollback_command"] or "",
        **{key: module.params[key] for key in RELEASE_OPTIONS},
    )
    try:
        release = Release(module.connect(), release_params, progress_writer(module.params["progress_file"]))
    except ClusterError as error:
        module.refuse(error)
    outcome = run(module, release)
    answer = result(outcome, release.cluster, check=module.check_mode)
    if outcome.failures:
        module.refuse(ClusterError(failure_text(outcome)), **answer)
    if module._diff:
        answer["diff"] = [unified(entry) for entry in entries(outcome)]
    module.done(changes=changed_lines(outcome, check=module.check_mode), **answer)


if __name__ == "__main__":
    main()
