"""Kubernetes of a node image built here, and of a control plane for tests: by a variable, from kept modules."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from .conftest import CHECKOUT, Play
from .test_local_cluster import DOCKER

ROLE = CHECKOUT / "roles/local_cluster"
BUILD = ROLE / "files/node-image/build"
MODULES = ROLE / "files/node-image/gomods/k8s"
SUPPORTED = sorted(path.stem for path in MODULES.glob("v*.mod"))


def built(folder: Path, version: str, *steps: str) -> tuple[str, str, int]:
    """Runs steps of the build beside a Go that only notes its arguments: these, what was said, and how it ended."""
    go = folder / "go"
    go.write_text(f'#!/bin/sh\necho "$PWD $@" >> {folder}/request\n')
    go.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "WORK": str(folder), "KUBERNETES": version}
    done = subprocess.run([BUILD, *steps], env=environment, capture_output=True, text=True, timeout=60, check=False)
    request = folder / "request"
    return request.read_text() if request.exists() else "", done.stdout + done.stderr, done.returncode


def test_versions_that_may_be_asked_for_are_those_whose_modules_are_kept() -> None:
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    version = options["local_cluster_kubernetes_version"]
    assert sorted(version["choices"]) == SUPPORTED
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    assert defaults["local_cluster_kubernetes_version"] == version["default"] == "v1.34.4"
    makefile = (CHECKOUT / "Makefile").read_text()
    assert re.search(r"^KUBERNETES \?= (\S+)$", makefile, flags=re.MULTILINE)[1] == SUPPORTED[-1]  # type: ignore[index]


@pytest.mark.parametrize("version", SUPPORTED)
def test_kept_modules_are_all_of_that_version(version: str) -> None:
    text = (MODULES / f"{version}.mod").read_text()
    assert re.search(rf"^\tk8s\.io/kubernetes {re.escape(version)}$", text, flags=re.MULTILINE)
    released = set(re.findall(r"=> k8s\.io/\S+ (\S+)$", text, flags=re.MULTILINE))
    assert released == {version.replace("v1.", "v0.")}
    assert f"k8s.io/kubernetes {version} h1:" in (MODULES / f"{version}.sum").read_text()


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_control_plane_is_compiled_from_the_modules_of_its_version(tmp_path: Path, version: str) -> None:
    request, output, code = built(tmp_path, version, "control_plane")
    assert code == 0, output
    assert [line.rsplit(" ", 1)[1] for line in request.splitlines()] == [
        "sigs.k8s.io/kwok/cmd/kwok", "go.etcd.io/etcd/server/v3", "./hyper",
    ]  # fmt: skip
    kubernetes = request.splitlines()[-1]
    assert f"-mod=readonly -modfile={version}.mod" in kubernetes
    assert f"-o {tmp_path}/bin/hyperkube-{version} " in kubernetes
    assert f"gitVersion={version} " in kubernetes
    assert f"gitMinor={version.split('.')[1]} " in kubernetes


def test_a_version_without_modules_is_refused_with_the_way_to_keep_them(tmp_path: Path) -> None:
    request, output, code = built(tmp_path, "v1.99.0", "control_plane")
    assert (request, code) == ("", 1)
    assert output.startswith(f"no modules are kept for Kubernetes v1.99.0, only for {' '.join(SUPPORTED)}: ")
    assert output.endswith("/pin v1.99.0 adds them\n")


def test_the_role_refuses_a_version_without_modules(play: Play) -> None:
    result = play("local_cluster", {"local_cluster_kubernetes_version": "v1.99.0"})
    assert f"must be one of: {', '.join(SUPPORTED)}, got: v1.99.0" in result.failure


def test_another_version_is_neither_taken_from_the_archive_nor_pulled(play: Play, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    docker = DOCKER.replace('[ "$2" = ls ]', "echo node.local/kind-node:v1.34.4; echo node.local/kind-node:v1.37.2")
    docker = docker.replace('case "$1"', f'echo "$@" >> {calls}\ncase "$1"')
    kind = f'#!/bin/sh\necho "$@" >> {calls}\nexit 1\n'
    variables = {
        "local_cluster_kubernetes_version": "v1.37.2",
        "local_cluster_node_archive": "/nowhere/node.tar.zst",
        "local_cluster_port_mappings": [],
    }
    play("local_cluster", variables, {"docker": docker, "kind": kind})
    output = calls.read_text()
    assert "--image=node.local/kind-node:v1.37.2" in output
    assert not re.search(r"^(pull|load)", output, flags=re.MULTILINE)
