"""The collection as users get it: built, installed somewhere else, documented."""

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
COLLECTION = ROOT / "collections/ansible_collections/llm_devops/memory_graph"
sys.path.append(str(ROOT / "collections"))

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import Cluster, connect  # noqa: E402

# They write to a cluster. Molecule makes one for them; on another cluster they run only when an image is named.
if not {"MOLECULE_EPHEMERAL_DIRECTORY", "MEMORY_GRAPH_IMAGE"} & os.environ.keys():
    collect_ignore = ["test_installed.py", "test_pod_security.py"]

COMMAND_TIMEOUT_S = 240
"""The limit of one command: far more than any takes, far less than a job's limit."""

Tool = Callable[..., str]


def run_tool(folder: Path, tool: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of the virtual environment in ``folder``, without settings of Ansible except ``environment``."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHONPATH"))}
    tools = Path(sys.executable).parent
    inherited["PATH"] = f"{tools}:{inherited['PATH']}"  # the tools call each other
    environment = {"ANSIBLE_HOME": str(folder / ".ansible"), "ANSIBLE_FORCE_COLOR": "0", **environment}
    command = [str(tools / tool), *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=inherited | environment, check=False, text=True, timeout=COMMAND_TIMEOUT_S,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def succeed(folder: Path, tool: str, *arguments: object, **environment: str) -> str:
    """Run a tool that must succeed and return its output."""
    done = run_tool(folder, tool, *arguments, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def tool() -> Tool:
    """``tool(folder, name, *arguments)`` runs a tool that must succeed and returns its output."""
    return succeed


@pytest.fixture(scope="session")
def collection() -> Path:
    """The collection in the checkout."""
    return COLLECTION


@pytest.fixture(scope="session")
def plugins(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """The documentation of the collection by ansible-doc, by plugin type and full name."""
    text = succeed(
        tmp_path_factory.mktemp("doc"), "ansible-doc", "--metadata-dump", "--no-fail-on-errors", "--json",
        "llm_devops.memory_graph", ANSIBLE_COLLECTIONS_PATH=str(ROOT / "collections"),
    )  # fmt: skip
    plugins = {
        kind: {name: doc for name, doc in docs.items() if name.startswith("llm_devops.memory_graph.")}
        for kind, docs in json.loads(text[text.index("{") :])["all"].items()
    }
    return {kind: docs for kind, docs in plugins.items() if docs}


@pytest.fixture(scope="session")
def modules(plugins) -> dict[str, dict[str, Any]]:
    """Documentation of each module, by its short name."""
    return {name.rpartition(".")[2]: doc for name, doc in plugins["module"].items()}


@pytest.fixture(scope="session")
def runtime() -> dict[str, Any]:
    """meta/runtime.yml"""
    return yaml.safe_load((COLLECTION / "meta/runtime.yml").read_text())


@pytest.fixture(scope="session")
def tarball(tmp_path_factory) -> Path:
    """The collection, built as `make collection` builds it."""
    folder = tmp_path_factory.mktemp("dist")
    succeed(folder, "ansible-galaxy", "collection", "build", COLLECTION, "--output-path", folder)
    (tarball,) = folder.glob("*.tar.gz")
    return tarball


@pytest.fixture(scope="session")
def installed(tarball: Path, tmp_path_factory) -> Path:
    """A folder outside the checkout whose Ansible has one collection: ours, installed from the tarball."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "ansible.cfg").write_text(
        "[defaults]\ncollections_path = collections\ninterpreter_python = auto_silent\nlocalhost_warning = False\n"
    )
    (folder / "inventory.yml").write_text(
        "memory_graph: {hosts: {local: {ansible_connection: local,"
        " ansible_python_interpreter: '{{ ansible_playbook_python }}'}}}\n"
    )
    succeed(folder, "ansible-galaxy", "collection", "install", tarball, "-p", folder / "collections", "--offline")
    return folder


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The API of the cluster under test, chosen by KUBECONFIG."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: these tests write to a cluster, and to the one you name only")
    return connect({"kubeconfig": os.environ["KUBECONFIG"]})


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A name that no namespace has; a namespace of a test is deleted afterwards."""
    name = f"collection-{uuid.uuid4().hex[:8]}"
    yield name
    cluster.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="session")
def image() -> str:
    """An image that the nodes have: MEMORY_GRAPH_IMAGE, or the one that Molecule prepared."""
    if folder := os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY"):
        return (Path(folder) / "image").read_text()
    return os.environ["MEMORY_GRAPH_IMAGE"]
