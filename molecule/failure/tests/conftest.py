"""Runs of a case against Molecule's cluster, with the output for the user and the result of the module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "collections"))

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError  # noqa: E402
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect  # noqa: E402
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Discovery  # noqa: E402

WAIT_TIMEOUT_S = 600
RUN_TIMEOUT_S = 240
"""Less than the wait timeout: a run that waits instead of failing at once is stopped."""


@dataclass
class PlaybookRun:
    """One run of ansible-playbook: its output, and the result of the release module if there is one."""

    status: int
    output: str
    result: dict[str, Any]

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.output.splitlines()]


class Sandbox:
    """A namespace for one case: the objects that are in it before a release, and releases into it."""

    def __init__(self, kubeconfig: str, image: str, folder: Path) -> None:
        self.kubeconfig, self.image, self._folder = kubeconfig, image, folder
        self.cluster = connect({"kubeconfig": kubeconfig})
        self.discovery = Discovery(self.cluster)
        self.namespace = f"failure-{uuid.uuid4().hex[:8]}"
        self._applied_paths: list[str] = []

    def substitute(self, value: Any) -> Any:
        """Return the value with $image and $namespace replaced."""
        text = json.dumps(value)
        return json.loads(Template(text).safe_substitute(image=self.image, namespace=self.namespace))

    def path(self, manifest: dict[str, Any]) -> str:
        resource = self.discovery.find(manifest["apiVersion"], manifest["kind"])
        assert resource, manifest
        return resource.path(self.namespace if resource.namespaced else "", manifest["metadata"]["name"])

    def apply(self, manifest: dict[str, Any], **query: str) -> None:
        """Apply the object as another field manager."""
        parameters = {"fieldManager": "somebody", "force": "true", **query}
        self.cluster.request("PATCH", self.path(manifest), parameters, manifest, "application/apply-patch+yaml")
        if not query:
            self._applied_paths.append(self.path(manifest))

    def wait_for_refusal(self, manifest: dict[str, Any]) -> None:
        """Wait until the API server enforces a policy that was applied."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.apply(manifest, dryRun="All")
            except ApiError:
                return
            time.sleep(0.2)
        pytest.fail("the policy was never enforced")

    def act_as_service_account(self, rules: list[dict[str, Any]]) -> None:
        """Use the credentials of a service account with these rights in the namespace from here on."""
        rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "somebody"}}
        subject = {"kind": "ServiceAccount", "name": "somebody", "namespace": self.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "somebody"}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "somebody"}}
        self.apply(account)
        self.apply({**rbac, "kind": "Role", "rules": rules})
        self.apply({**rbac, "kind": "RoleBinding", "roleRef": role, "subjects": [subject]})
        token = self.cluster.request("POST", f"{self.path(account)}/token", None, {"spec": {}})["status"]["token"]
        config = yaml.safe_load(Path(self.kubeconfig).read_text())
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        file = self._folder / "kubeconfig"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(config))
        self.kubeconfig = str(file)

    def release(self, objects: list[dict[str, Any]], wait_timeout: int = WAIT_TIMEOUT_S) -> PlaybookRun:
        """Release the objects with the small playbook of this scenario."""
        result_file = self._folder / "answer.json"
        result_file.unlink(missing_ok=True)
        run = self.run_playbook(
            "molecule/failure/release.yml",
            case_name="demo",
            case_namespace=self.namespace,
            case_objects=objects,
            case_wait_timeout=wait_timeout,
            result_file=str(result_file),
        )
        run.result = json.loads(result_file.read_text())
        return run

    def run_playbook(self, playbook: str, **variables: Any) -> PlaybookRun:
        """Run a playbook as a user does, without a terminal."""
        file = self._folder / "variables.json"
        file.write_text(json.dumps(variables))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), playbook, "-i", "inventories/local",
                   "-e", f"@{file}"]  # fmt: skip
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        ansible = {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        environment = {**inherited, **ansible, "KUBECONFIG": self.kubeconfig}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, text=True, timeout=RUN_TIMEOUT_S,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # fmt: skip
        return PlaybookRun(done.returncode, done.stdout, {})

    def delete(self) -> None:
        for path in [f"/api/v1/namespaces/{self.namespace}", *reversed(self._applied_paths)]:
            self.cluster.delete(path)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A namespace for one case, deleted afterwards with every object that the case applied."""
    image = (Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "image").read_text()
    sandbox = Sandbox(os.environ["KUBECONFIG"], image, tmp_path)
    yield sandbox
    sandbox.delete()
