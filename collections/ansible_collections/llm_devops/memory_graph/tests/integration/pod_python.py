# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Runs Python with our engine inside a pod, in the image of the service, which every node under test has."""

from __future__ import annotations

import base64
import io
import os
import textwrap
import time
import uuid
import zipfile
from pathlib import Path

import pytest
import urllib3
import yaml
from ansible_collections.llm_devops.memory_graph.tests.integration.sandbox import node_images

ENGINE = "ansible_collections/llm_devops/memory_graph/plugins/module_utils"


def run_in_pod(cluster, namespace, account, script):
    """Run the script in a pod of the ServiceAccount and return its output."""
    name = f"python-{uuid.uuid4().hex[:8]}"
    core = f"/api/v1/namespaces/{namespace}"
    code = {"engine.zip": base64.b64encode(_engine()).decode()}
    cluster.request("POST", f"{core}/configmaps", None, {"metadata": {"name": name}, "binaryData": code})
    container = {
        "name": "main", "image": _image(cluster), "imagePullPolicy": "Never",
        "command": ["python3", "-c", textwrap.dedent(script)],
        "env": [{"name": "PYTHONPATH", "value": "/engine/engine.zip"}],
        "volumeMounts": [{"name": "engine", "mountPath": "/engine"}],
    }  # fmt: skip
    spec = {"serviceAccountName": account, "restartPolicy": "Never", "containers": [container],
            "volumes": [{"name": "engine", "configMap": {"name": name}}]}  # fmt: skip
    cluster.request("POST", f"{core}/pods", None, {"metadata": {"name": name}, "spec": spec})
    deadline, phase = time.monotonic() + 60, ""
    while phase not in ("Succeeded", "Failed") and time.monotonic() < deadline:
        phase = cluster.request("GET", f"{core}/pods/{name}")["status"].get("phase", "")
        time.sleep(0.2)
    log = cluster.text(f"{core}/pods/{name}/log")
    assert phase == "Succeeded", log
    return log


def _image(cluster):
    if os.environ.get("MEMORY_GRAPH_IMAGE"):
        return os.environ["MEMORY_GRAPH_IMAGE"]
    names = [name for name in node_images(cluster) if "/memory-graph:" in name]
    return next(iter(names), None) or pytest.fail(
        "no node has the image of the service, and MEMORY_GRAPH_IMAGE names none"
    )


def _engine():
    """Return a zip from which Python imports the engine and the pure part of the two libraries it needs."""
    folder = Path(__file__).resolve().parents[5]
    libraries = [Path(library.__file__).parent for library in (urllib3, yaml)]
    files = {path.relative_to(folder): path for path in (folder / ENGINE).rglob("*.py")}
    files |= {path.relative_to(lib.parent): path for lib in libraries for path in lib.rglob("*.py")}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files.items():
            archive.write(path, name)
        for package in {*Path(ENGINE).parents, *(file.parent for file in files)}:
            if package.name and package / "__init__.py" not in files:
                archive.writestr(f"{package}/__init__.py", "")
    return packed.getvalue()
