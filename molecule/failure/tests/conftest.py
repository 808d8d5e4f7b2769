"""Runs a case against the cluster Molecule made, and keeps what the user saw and what the module answered."""

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

WAIT_TIMEOUT = 600
RUN_SECONDS = 240
"""Below the wait timeout: a run that waits instead of failing at once does not even end."""


@dataclass
class Run:
    """One run of ansible-playbook: what it printed, and the result of the release module if there is one."""

    status: int
    output: str
    result: dict[str, Any]

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.output.splitlines()]


class Stage:
    """A namespace of its own on the cluster, what is in it before a release, and releases into it."""

    def __init__(self, kubeconfig: str, image: str, folder: Path) -> None:
        self.kubeconfig, self.image, self._folder = kubeconfig, image, folder
        self.cluster = connect({"kubeconfig": kubeconfig})
        self.discovery = Discovery(self.cluster)
        self.namespace = f"failure-{uuid.uuid4().hex[:8]}"
        self._made: list[str] = []

    def filled(self, value: Any) -> Any:
        """The value with $image and $namespace replaced."""
        text = json.dumps(value)
        return json.loads(Template(text).safe_substitute(image=self.image, namespace=self.namespace))

    def path(self, manifest: dict[str, Any]) -> str:
        resource = self.discovery.find(manifest["apiVersion"], manifest["kind"])
        assert resource, manifest
        return resource.path(self.namespace if resource.namespaced else "", manifest["metadata"]["name"])

    def put(self, manifest: dict[str, Any], **query: str) -> None:
        """Apply as somebody else would."""
        asked = {"fieldManager": "somebody", "force": "true", **query}
        self.cluster.request("PATCH", self.path(manifest), asked, manifest, "application/apply-patch+yaml")
        if not query:
            self._made.append(self.path(manifest))

    def await_refusal(self, manifest: dict[str, Any]) -> None:
        """Until the API server enforces a policy it was given."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                self.put(manifest, dryRun="All")
            except ApiError:
                return
            time.sleep(0.2)
        pytest.fail("the policy was never enforced")

    def become(self, rules: list[dict[str, Any]]) -> None:
        """Go on as a service account with these rights in the namespace."""
        named = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "somebody"}}
        subject = {"kind": "ServiceAccount", "name": "somebody", "namespace": self.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "somebody"}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "somebody"}}
        self.put(account)
        self.put({**named, "kind": "Role", "rules": rules})
        self.put({**named, "kind": "RoleBinding", "roleRef": role, "subjects": [subject]})
        token = self.cluster.request("POST", f"{self.path(account)}/token", None, {"spec": {}})["status"]["token"]
        config = yaml.safe_load(Path(self.kubeconfig).read_text())
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        file = self._folder / "kubeconfig"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(config))
        self.kubeconfig = str(file)

    def release(self, objects: list[dict[str, Any]], wait_timeout: int = WAIT_TIMEOUT) -> Run:
        """Release objects with the small playbook beside this scenario."""
        answer = self._folder / "answer.json"
        answer.unlink(missing_ok=True)
        run = self.play(
            "molecule/failure/release.yml",
            case_name="demo",
            case_namespace=self.namespace,
            case_objects=objects,
            case_wait_timeout=wait_timeout,
            result_file=str(answer),
        )
        run.result = json.loads(answer.read_text())
        return run

    def play(self, playbook: str, **variables: Any) -> Run:
        """Run a playbook as a user does, without a terminal."""
        file = self._folder / "variables.json"
        file.write_text(json.dumps(variables))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), playbook, "-i", "inventories/local",
                   "-e", f"@{file}"]  # fmt: skip
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        ours = {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "KUBECONFIG": self.kubeconfig}
        done = subprocess.run(command, cwd=ROOT, env=inherited | ours, check=False, text=True, timeout=RUN_SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # fmt: skip
        return Run(done.returncode, done.stdout, {})

    def clear(self) -> None:
        for path in [f"/api/v1/namespaces/{self.namespace}", *reversed(self._made)]:
            self.cluster.delete(path)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A namespace for one case, deleted afterwards with all that was put beside it."""
    image = (Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "image").read_text()
    made = Stage(os.environ["KUBECONFIG"], image, tmp_path)
    yield made
    made.clear()
