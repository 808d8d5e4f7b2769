"""Runs the playbooks as a person does, against the cluster KUBECONFIG names, each test in a namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "collections"))

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import Cluster, connect  # noqa: E402

# What is in on_cluster writes to one. Molecule makes one for it; elsewhere it runs only when an image is named for it.
if not {"MOLECULE_EPHEMERAL_DIRECTORY", "MEMORY_GRAPH_IMAGE"} & os.environ.keys():
    collect_ignore = ["on_cluster"]

RUN_TIMEOUT_S = 240
"""Far below the wait timeout the tests give the playbooks: a run that waits instead of failing at once is a failure."""


class Playbooks:
    """Runs playbooks with `inventory`, and variables that suit a cluster shared with other releases."""

    def __init__(self, namespace: str, folder: Path) -> None:
        self.namespace = namespace
        self.inventory = "inventories/local"
        self.environment: dict[str, str] = {}
        self._folder = folder

    def run(self, name: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Runs playbooks/`name`.yml; standard error is part of the output."""
        ours = {
            "memory_graph_namespace": self.namespace,
            "memory_graph_endpoint": "",
            "memory_graph_service_type": "ClusterIP",
            "memory_graph_wait_timeout": 3600,
        }
        file = self._folder / "variables.json"
        file.write_text(json.dumps(ours | variables))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), f"playbooks/{name}.yml",
                   "-i", self.inventory, "-e", f"@{file}", *arguments]  # fmt: skip
        return subprocess.run(command, cwd=ROOT, env=self._environment(), check=False, text=True, timeout=RUN_TIMEOUT_S,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # fmt: skip

    def refused(self, name: str = "deploy", **variables: Any) -> str:
        """Runs a playbook that must fail; returns what it printed, on one line with single spaces."""
        result = self.run(name, **variables)
        assert result.returncode != 0, result.stdout
        assert "Traceback" not in result.stdout, result.stdout
        return " ".join(result.stdout.split())

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        ours = {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        return inherited | ours | self.environment


@pytest.fixture
def namespace() -> str:
    """A name no namespace has."""
    return f"playbooks-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def playbooks(namespace: str, tmp_path: Path) -> Playbooks:
    """Runs playbooks against that namespace."""
    return Playbooks(namespace, tmp_path)


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig of the cluster under test, which somebody must have chosen."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: these tests write to a cluster, and to the one you name only")
    return Path(os.environ["KUBECONFIG"])


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path) -> Cluster:
    """The API of the cluster under test."""
    return connect({"kubeconfig": str(kubeconfig)})


@pytest.fixture
def existing_namespace(cluster: Cluster, namespace: str) -> Iterator[str]:
    """That namespace, made, and deleted afterwards."""
    cluster.request("POST", "/api/v1/namespaces", None, {"metadata": {"name": namespace}})
    yield namespace
    cluster.delete(f"/api/v1/namespaces/{namespace}")


@pytest.fixture
def any_namespace(cluster: Cluster, namespace: str) -> Iterator[str]:
    """That namespace, deleted afterwards if a playbook made it."""
    yield namespace
    cluster.delete(f"/api/v1/namespaces/{namespace}")


@pytest.fixture
def powerless_kubeconfig(cluster: Cluster, kubeconfig: Path, existing_namespace: str, tmp_path: Path) -> Path:
    """A kubeconfig of a service account nobody gave a right."""
    accounts = f"/api/v1/namespaces/{existing_namespace}/serviceaccounts"
    cluster.request("POST", accounts, None, {"metadata": {"name": "powerless"}})
    token = cluster.request("POST", f"{accounts}/powerless/token", None, {"spec": {}})["status"]["token"]
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = tmp_path / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def unreachable_kubeconfig(kubeconfig: Path, tmp_path: Path) -> Path:
    """A kubeconfig of an address where nobody listens."""
    config = yaml.safe_load(kubeconfig.read_text())
    for entry in config["clusters"]:
        entry["cluster"]["server"] = "https://127.0.0.1:1"
    file = tmp_path / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def objects_of(cluster: Cluster) -> Callable[[str], list[str]]:
    """Names of those objects in a namespace that a deployment makes first."""
    kinds = (
        ("api/v1", "configmaps"),
        ("api/v1", "services"),
        ("api/v1", "persistentvolumeclaims"),
        ("apis/apps/v1", "statefulsets"),
    )

    def names(namespace: str) -> list[str]:
        paths = [f"/{group}/namespaces/{namespace}/{plural}" for group, plural in kinds]
        objects = [item for path in paths for item in cluster.list(path)]
        return [item["metadata"]["name"] for item in objects if item["metadata"]["name"].startswith("memory-graph")]

    return names


@pytest.fixture(scope="session")
def image() -> str:
    """An image the nodes have: MEMORY_GRAPH_IMAGE, or the one Molecule has prepared."""
    if folder := os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY"):
        return (Path(folder) / "image").read_text()
    if name := os.environ.get("MEMORY_GRAPH_IMAGE"):
        return name
    pytest.fail("MEMORY_GRAPH_IMAGE is not set: name an image that the nodes of the cluster have")
