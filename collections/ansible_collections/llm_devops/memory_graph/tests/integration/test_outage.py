# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The API server of a kind cluster really restarts, in the middle of a release and of a wait.

That takes the cluster away from whoever else uses it for half a minute: Molecule's own is always restarted, another one
only when MEMORY_GRAPH_DISRUPTIVE is set.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import time
from urllib.parse import urlsplit

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils import _patience
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._cluster import Cluster, connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._kubeconfig import access
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._release import Release, Wish

SETTLED_SECONDS = 150


def docker(*arguments):
    return subprocess.run(["docker", *arguments], text=True, capture_output=True, check=True, timeout=90).stdout.strip()


class ControlPlane:
    """The node container whose published port KUBECONFIG names."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._node = self._found()

    def _found(self):
        url = urlsplit(self._cluster.access.server)
        nodes = docker("ps", "-q", "--filter", "label=io.x-k8s.kind.role=control-plane").split()
        for node in nodes:
            if docker("port", node, "6443/tcp").splitlines()[0].endswith(f":{url.port}"):
                return node
        return None

    @property
    def found(self):
        return self._node is not None

    def restart_api_server(self):
        """Returns once it is down; the kubelet starts it again."""
        running = docker("exec", self._node, "crictl", "ps", "-q", "--name", "^kube-apiserver$")
        docker("exec", self._node, "crictl", "stop", *running.split())

    def await_settled(self):
        """Until it answers, and the controllers that lead by its Leases lead again."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while not self._settled():
            assert time.monotonic() < deadline, f"the control plane did not settle in {SETTLED_SECONDS} s"
            time.sleep(1)

    def _settled(self):
        try:
            self._cluster.text("/readyz")
            leases = [
                self._cluster.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}")
                for name in ("kube-controller-manager", "kube-scheduler")
            ]
            nodes = list(self._cluster.list("/api/v1/nodes"))
            served = list(self._cluster.list("/apis/apiregistration.k8s.io/v1/apiservices"))
        except ClusterError:
            return False
        now = dt.datetime.now(dt.UTC)
        fresh = all(
            now - dt.datetime.fromisoformat(lease["spec"]["renewTime"]) < dt.timedelta(seconds=8) for lease in leases
        )
        ready = all(conditions(node)["Ready"] == "True" for node in nodes)
        return fresh and ready and all(conditions(one).get("Available") == "True" for one in served)


def conditions(obj):
    return {item["type"]: item["status"] for item in obj["status"].get("conditions") or []}


@pytest.fixture
def control_plane(admin):
    if not {"MOLECULE_EPHEMERAL_DIRECTORY", "MEMORY_GRAPH_DISRUPTIVE"} & os.environ.keys():
        pytest.skip("the cluster may have other users: set MEMORY_GRAPH_DISRUPTIVE to restart its API server")
    if not shutil.which("docker"):
        pytest.fail("no docker: the cluster is not kind's")
    found = ControlPlane(admin)
    if not found.found:
        pytest.fail("KUBECONFIG names no kind cluster of this docker")
    yield found
    found.await_settled()


class Disturbed(Cluster):
    """Calls ``trouble`` once, before the write of the thirtieth object."""

    def __init__(self, trouble):
        super().__init__(access({}, os.environ))
        self._trouble, self._writes = trouble, 0

    def apply(self, path, manifest, *, dry_run=False, force=False):
        if not dry_run:
            with self._lock:
                self._writes += 1
                due = self._writes == 30
            if due:
                self._trouble()
        return super().apply(path, manifest, dry_run=dry_run, force=force)


def waited(cluster):
    return [text for text in cluster.warnings if "waited" in text and "sent again" in text]


@pytest.mark.timeout(400)
def test_the_api_server_restarts_while_objects_are_written(place, control_plane, monkeypatch):
    monkeypatch.setattr(_patience, "NOTICEABLE", 0.5)  # a quick machine has it back before anybody would mind
    objects = [place.namespace, *(place.config(f"settings-{number}") for number in range(100))]
    cluster = Disturbed(control_plane.restart_api_server)
    outcome = Release(cluster, Wish("demo", place.name, objects), lambda *_line: None).present()
    assert not outcome.failures
    assert waited(cluster), cluster.warnings
    control_plane.await_settled()
    again = place.release(*objects[1:])
    assert not again.failures
    assert not again.differs


@pytest.mark.timeout(400)
def test_the_api_server_restarts_while_a_deployment_is_waited_for(place, control_plane):
    images = [name for node in place.cluster.list("/api/v1/nodes") for image in node["status"]["images"]
              for name in image["names"] if "/pause:" in name]  # fmt: skip
    labels = {"app": "demo"}
    pod = {"terminationGracePeriodSeconds": 0,
           "containers": [{"name": "main", "image": images[0], "imagePullPolicy": "Never"}]}  # fmt: skip
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod},
            "minReadySeconds": 5}  # fmt: skip
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo"}, "spec": spec}
    restarted = []

    def once(label, _text):
        if label == "wait" and not restarted:
            restarted.append(control_plane.restart_api_server())

    cluster = connect({})
    wish = Wish("demo", place.name, [place.namespace, deployment], wait_timeout=240)
    outcome = Release(cluster, wish, once).present()
    assert restarted
    assert not outcome.failures
    assert [status.reason for status in outcome.statuses if status.ref.kind == "Deployment"] == ["1/1 ready"]
    control_plane.await_settled()
    assert not place.release(deployment).differs
