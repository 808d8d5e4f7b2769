# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The API server really restarts, in the middle of a release and of a wait.

That takes the cluster away from whoever else uses it for half a minute: Molecule's own is always restarted, and so is a
process that MEMORY_GRAPH_API_SERVER_PID names; another kind cluster only when MEMORY_GRAPH_DISRUPTIVE is set.
"""

from __future__ import annotations

import datetime as dt
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster import _retry
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import Cluster, connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._kubeconfig import access
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.tests.integration.sandbox import pause_image

SETTLED_TIMEOUT_S = 150


def docker(*arguments):
    return subprocess.run(["docker", *arguments], text=True, capture_output=True, check=True, timeout=90).stdout.strip()


class ApiServerProcess:
    """An API server that is a process of this machine, which somebody starts again whenever it ends."""

    def __init__(self, pid_file):
        self._pid_file = Path(pid_file)

    def restart(self):
        """Kill it, as `crictl stop` does in effect, and return once it is down: an orderly end would take a minute."""
        handle = os.pidfd_open(int(self._pid_file.read_text()))
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            ended, _write, _error = select.select([handle], [], [], 90)
        finally:
            os.close(handle)
        assert ended, "the API server did not end"


class KindNode:
    """The node container whose published port KUBECONFIG names."""

    def __init__(self, cluster):
        url = urlsplit(cluster.access.server)
        nodes = docker("ps", "-q", "--filter", "label=io.x-k8s.kind.role=control-plane").split()
        ports = {docker("port", node, "6443/tcp").splitlines()[0].rpartition(":")[2]: node for node in nodes}
        self._node = ports.get(str(url.port)) or pytest.fail("KUBECONFIG names no kind cluster of this docker")

    def restart(self):
        """Stop it and return once it is down; the kubelet starts it again."""
        running = docker("exec", self._node, "crictl", "ps", "-q", "--name", "^kube-apiserver$")
        docker("exec", self._node, "crictl", "stop", *running.split())


class ControlPlane:
    """Restarts the API server, and waits until the cluster has come back."""

    def __init__(self, cluster, api_server):
        self._cluster = cluster
        self.restart_api_server = api_server.restart

    def await_settled(self):
        """Return once the API server answers and the controllers that lead by its Leases lead again."""
        deadline = time.monotonic() + SETTLED_TIMEOUT_S
        while not self._settled():
            assert time.monotonic() < deadline, f"the control plane did not settle in {SETTLED_TIMEOUT_S} s"
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
        return fresh and ready and all(conditions(service).get("Available") == "True" for service in served)


def conditions(obj):
    return {item["type"]: item["status"] for item in obj["status"].get("conditions") or []}


@pytest.fixture
def control_plane(admin):
    if process := os.environ.get("MEMORY_GRAPH_API_SERVER_PID"):
        api_server = ApiServerProcess(process)
    elif not {"MOLECULE_EPHEMERAL_DIRECTORY", "MEMORY_GRAPH_DISRUPTIVE"} & os.environ.keys():
        pytest.skip("the cluster may have other users: set MEMORY_GRAPH_DISRUPTIVE to restart its API server")
    elif not shutil.which("docker"):
        pytest.fail("no docker: the cluster is not kind's")
    else:
        api_server = KindNode(admin)
    plane = ControlPlane(admin, api_server)
    yield plane
    plane.await_settled()


class DisturbedCluster(Cluster):
    """A cluster that calls ``disturb`` once, before the thirtieth object is written."""

    def __init__(self, disturb):
        super().__init__(access({}, os.environ))
        self._disturb, self._writes = disturb, 0

    def apply(self, path, manifest, *, dry_run=False, force=False):
        if not dry_run:
            with self._lock:
                self._writes += 1
                due = self._writes == 30
            if due:
                self._disturb()
        return super().apply(path, manifest, dry_run=dry_run, force=force)


def waited(cluster):
    return [text for text in cluster.warnings if "waited" in text and "sent again" in text]


def test_the_api_server_restarts_while_objects_are_written(sandbox, control_plane, monkeypatch):
    monkeypatch.setattr(_retry, "MIN_REPORTED_WAIT_S", 0.5)  # a quick machine has it back before anybody would mind
    objects = [sandbox.namespace, *(sandbox.config(f"settings-{number}") for number in range(100))]
    cluster = DisturbedCluster(control_plane.restart_api_server)
    outcome = Release(cluster, ReleaseParams("demo", sandbox.name, objects), lambda *_line: None).present()
    assert not outcome.failures
    assert waited(cluster), cluster.warnings
    control_plane.await_settled()
    again = sandbox.release(*objects[1:])
    assert not again.failures
    assert not again.differs


def test_the_api_server_restarts_while_a_deployment_is_waited_for(sandbox, control_plane):
    labels = {"app": "demo"}
    main = {"name": "main", "image": pause_image(sandbox.cluster), "imagePullPolicy": "Never"}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [main]}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod},
            "minReadySeconds": 5}  # fmt: skip
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo"}, "spec": spec}
    restarted = []

    def once(label, _text):
        if label == "wait" and not restarted:
            restarted.append(control_plane.restart_api_server())

    cluster = connect({})
    params = ReleaseParams("demo", sandbox.name, [sandbox.namespace, deployment], wait_timeout=240)
    outcome = Release(cluster, params, once).present()
    assert restarted
    assert not outcome.failures
    assert [status.reason for status in outcome.statuses if status.ref.kind == "Deployment"] == ["1/1 ready"]
    control_plane.await_settled()
    assert not sandbox.release(deployment).differs
