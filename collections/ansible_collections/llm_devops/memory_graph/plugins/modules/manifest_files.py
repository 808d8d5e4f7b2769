#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: manifest_files
short_description: Write the objects of a release to a directory for GitOps
version_added: 0.1.0
description:
  - Writes each object to a YAML file C(<kind>-<name>.yaml), and a C(kustomization.yaml) that lists them in the order in
    which they are applied. Asks no cluster.
  - Equal objects give equal bytes, so that a commit shows what changed and nothing else.
  - Files of an earlier run whose objects left the release are removed. Files of others are left alone.
  - Secrets are not written, as a file would show their values. They are named in the result.
author: [llm-devops (@llm-devops)]
options:
  path:
    description: The directory; made when missing.
    type: path
    required: true
  namespace:
    description: Namespace of objects that name none.
    type: str
    required: true
  objects:
    description:
      - The manifests.
      - Each is a dictionary, a C(List) object, or YAML text of one or more documents, as a template gives it.
    type: raw
    required: true
attributes:
  check_mode:
    support: full
    description: Writes nothing and says which files would differ.
  diff_mode:
    support: full
    description: Shows each file that differs.
requirements:
  - python >= 3.11
  - PyYAML >= 6.0
"""

EXAMPLES = r"""
- name: Render what a template describes
  llm_devops.memory_graph.manifest_files:
    path: rendered/demo
    namespace: demo
    objects: "{{ lookup('ansible.builtin.template', 'demo.yaml.j2') }}"
"""

RETURN = r"""
files:
  description: Names of the files in the order of applying, without C(kustomization.yaml).
  returned: success
  type: list
  elements: str
  sample: [namespace-demo.yaml, configmap-settings.yaml]
written:
  description: Names of the files that were not as they should be.
  returned: success
  type: list
  elements: str
removed:
  description: Names of the files of an earlier run that were removed.
  returned: success
  type: list
  elements: str
left_out:
  description: Secrets that the release has and the directory has not, each as C(Secret/<name>).
  returned: success
  type: list
  elements: str
report:
  description: Lines for a person, each a C(label) and a C(text).
  returned: success
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ManifestError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster import _kubeconfig
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest_files import (
    LIST,
    Change,
    changes,
    manifests,
    texts,
    write,
)

OPTIONS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "namespace": {"type": "str", "required": True},
    "objects": {"type": "raw", "required": True},
}


def report(folder: Path, files: int, file_changes: list[Change], left_out: list[str]) -> list[dict[str, str]]:
    """Return report lines for a person."""
    removed = sum(not change.after for change in file_changes)
    counts = f"{len(file_changes) - removed} written, {removed} removed" if file_changes else "nothing to do"
    lines = [{"label": "render", "text": f"{files} objects in {folder}: {counts}"}]
    if left_out:
        names = ", ".join(left_out)
        lines.append({"label": "note", "text": f"{names}: not written, as a file shows its values; bring it otherwise"})
    return lines


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True, no_log=True)
    if _kubeconfig.yaml is None:
        module.fail_json(msg=missing_required_lib("PyYAML"))
    folder = Path(module.params["path"])
    # not the objects: among them are Secrets
    invocation = {"module_args": {key: module.params[key] for key in ("path", "namespace")}}
    try:
        written, secrets = manifests(module.params["objects"], module.params["namespace"])
        files = texts(written)
        file_changes = changes(folder, files)
        if not module.check_mode:
            write(folder, file_changes)
    except (ManifestError, OSError) as error:
        module.fail_json(msg=str(error), invocation=invocation)
    left_out = [str(ref) for ref in secrets]
    answer: dict[str, Any] = {
        "changed": bool(file_changes),
        "files": [name for name in files if name != LIST],
        "written": [change.name for change in file_changes if change.after],
        "removed": [change.name for change in file_changes if not change.after],
        "left_out": left_out,
        "report": report(folder, len(written), file_changes, left_out),
    }
    if module._diff:
        answer["diff"] = [
            {"before_header": ref.name, "after_header": ref.name, "before": ref.before, "after": ref.after}
            for ref in file_changes
        ]
    module.exit_json(invocation=invocation, **answer)


if __name__ == "__main__":
    main()
