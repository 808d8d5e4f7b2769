# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Runs cut off as real processes, at chosen points: what they leave, and that the next run goes on from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _history, _lease
from ansible_collections.llm_devops.memory_graph.tests.integration.fault_proxy import FaultProxy

MODULES = "ansible_collections.llm_devops.memory_graph.plugins.modules"
COLLECTIONS = Path(__file__).resolve().parents[5]
SECONDS = 60
POINTS = {
    "before the first write": ("PATCH", "/secrets/demo-release"),
    "while objects are applied": ("PATCH", "/configmaps/settings"),
    "while it waits": ("GET", "/deployments?"),
    "while objects are pruned": ("DELETE", "/configmaps/old-b"),
}


class Gate(FaultProxy):
    """Holds the first request to a point until told to let it pass, or to drop it."""

    def __init__(self, cluster, folder):
        super().__init__(cluster, folder)
        self.point = ("", "")
        self.reached, self.opened = threading.Event(), threading.Event()
        self._dropping = False

    def due(self, verb, path):
        wanted, part = self.point
        if (
            verb == wanted
            and (part in path if part.endswith("?") else path.endswith(part))
            and not self.opened.is_set()
        ):
            self.reached.set()
            self.opened.wait(SECONDS)
            if self._dropping:
                raise ConnectionAbortedError
        return super().due(verb, path)

    def open(self, drop=False):
        self._dropping = drop
        self.opened.set()


@pytest.fixture
def gate(place, tmp_path):
    with Gate(place.cluster, tmp_path) as made:
        yield made
        made.open(drop=True)


def workload(place, version):
    image = next(
        name for node in place.cluster.list("/api/v1/nodes") for image in node["status"]["images"]
        for name in image["names"] if "/pause:" in name
    )  # fmt: skip
    container = {"name": "main", "image": image, "imagePullPolicy": "Never", "env": [{"name": "V", "value": version}]}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    template = {"metadata": {"labels": {"app": "demo"}}, "spec": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo"},
            "spec": {"selector": {"matchLabels": {"app": "demo"}}, "template": template}}  # fmt: skip


def second(place):
    return [place.config(a="2"), workload(place, "2")]


def start(place, gate, tmp_path, **wish):
    """The second revision, by the module as Ansible runs it, up to the gate."""
    wish = wish or {"objects": [place.namespace, *second(place)]}
    wanted = {"name": "demo", "namespace": place.name, "kubeconfig": gate.kubeconfig(), **wish}
    file = tmp_path / "arguments.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": wanted}))
    process = subprocess.Popen(
        [sys.executable, "-m", f"{MODULES}.release", str(file)], text=True, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert gate.reached.wait(SECONDS), process.communicate(timeout=SECONDS)
    return process


def environment():
    return {**os.environ, "PYTHONPATH": str(COLLECTIONS), "ANSIBLE_FORCE_COLOR": "0"}


def record(place):
    return _history.read(place.cluster, "demo", place.name)


def lease(place):
    return place.cluster.find(_lease.path("demo", place.name))


def info(place, tmp_path):
    file = tmp_path / "info.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"name": "demo", "namespace": place.name, "drift": False}}))
    done = subprocess.run([sys.executable, "-m", f"{MODULES}.release_info", str(file)], text=True, env=environment(),
                          capture_output=True, timeout=SECONDS, check=True)  # fmt: skip
    return json.loads(done.stdout)


def goes_on(place):
    """Another run, and one that finds nothing to do."""
    outcome = place.release(*second(place), lock_timeout=SECONDS)
    assert not outcome.failures
    assert (outcome.record.revision, outcome.record.state) == (2, "deployed")
    assert [item["revision"] for item in outcome.record.revisions] == [1, 2]
    assert place.get("configmaps/settings")["data"] == {"a": "2"}
    assert [name for name in place.names("configmaps") if name.startswith("old")] == []
    assert {str(item.ref) for item in outcome.record.members} == {
        f"Namespace/{place.name}", "ConfigMap/settings", "Deployment/demo",
    }  # fmt: skip
    assert lease(place) is None
    again = place.release(*second(place))
    assert not again.differs
    assert again.record.revision == 2


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_told_to_stop_gives_its_lock_back_and_the_next_goes_on(place, gate, tmp_path, point, number):
    place.release(place.config(a="1"), place.config("old-a"), place.config("old-b"), workload(place, "1"))
    gate.point = POINTS[point]
    process = start(place, gate, tmp_path)
    assert lease(place) is not None
    process.send_signal(number)
    gate.open()  # what is on its way arrives
    answer = json.loads(process.communicate(timeout=SECONDS)[0])
    assert answer["failed"]
    assert answer["msg"].startswith(f"stopped by {number.name}. ")
    assert answer["msg"].endswith("run again: it goes on from here")
    assert lease(place) is None
    left = record(place)
    assert (left.revision, left.state) == (2, "pending")
    assert {"old-a", "old-b"} <= {item.ref.name for item in left.members}
    goes_on(place)


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_killed_leaves_a_lock_that_ends_and_the_next_goes_on(place, gate, tmp_path, point):
    place.release(place.config(a="1"), place.config("old-a"), place.config("old-b"), workload(place, "1"))
    gate.point = POINTS[point]
    process = start(place, gate, tmp_path)
    process.kill()
    process.communicate(timeout=SECONDS)
    gate.open(drop=True)
    told = info(place, tmp_path)
    assert f"process {process.pid} " in told["lock"]["holder"]
    if point == "before the first write":
        assert (told["revision"], told["state"]) == (1, "deployed")
    else:
        assert (told["revision"], told["state"]) == (2, "pending")
        assert {"old-a", "old-b"} <= {item["name"] for item in told["objects"]}
        assert [item["revision"] for item in told["history"]] == [1]
    with pytest.raises(_lease.LeaseHeld, match=f"process {process.pid} "):
        place.release(*second(place))
    if point != "while objects are applied":  # once the whole time, else a time that is over sooner
        place.edit(_lease.path("demo", place.name), {"spec": {"leaseDurationSeconds": 1}})
    goes_on(place)


def test_a_first_deployment_killed_before_it_has_its_lock_goes_on(place, gate, tmp_path):
    """Of it there is a namespace, and nothing else."""
    gate.point = ("POST", "/leases")
    process = start(place, gate, tmp_path)
    process.kill()
    process.communicate(timeout=SECONDS)
    gate.open(drop=True)
    assert (lease(place), record(place).revision) == (None, 0)
    outcome = place.release(*second(place))
    assert not outcome.failures
    assert (outcome.record.revision, outcome.record.state) == (1, "deployed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_teardown_that_is_cut_off_is_finished_by_the_next(place, gate, tmp_path, number):
    place.release(place.config(a="1"), place.config("old-a"), place.config("old-b"))
    gate.point = POINTS["while objects are pruned"]
    process = start(place, gate, tmp_path, state="absent")
    process.send_signal(number)
    gate.open(drop=number == signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    assert {"settings", "old-a", "old-b"} <= {item.ref.name for item in record(place).members}
    if number == signal.SIGKILL:
        place.edit(_lease.path("demo", place.name), {"spec": {"leaseDurationSeconds": 1}})
    assert not place.run(lock_timeout=SECONDS).absent().failures
    assert place.names("configmaps") == ["kube-root-ca.crt"]
    assert {item.ref.kind for item in record(place).members} == {"Namespace"}
    assert lease(place) is None


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - llm_devops.memory_graph.release:
        name: demo
        namespace: "{{ home }}"
        objects: "{{ objects }}"
        kubeconfig: "{{ kubeconfig }}"
"""


def play(place, gate, tmp_path):
    """The same by ansible-playbook, in a process group of its own as a terminal gives it."""
    variables = {"home": place.name, "objects": [place.namespace, *second(place)], "kubeconfig": gate.kubeconfig(),
                 "ansible_python_interpreter": sys.executable}  # fmt: skip
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    (tmp_path / "play.yml").write_text(PLAY)
    program = str(Path(sys.executable).parent / "ansible-playbook")
    process = subprocess.Popen(
        [program, "play.yml", "-e", "@variables.json"], cwd=tmp_path, text=True, start_new_session=True,
        env=environment() | {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_LOCALHOST_WARNING": "0"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert gate.reached.wait(SECONDS), process.communicate(timeout=SECONDS)
    return process


def await_no_lease(place):
    """Watch until the lock is gone; the test's own time limit ends it."""
    live = lease(place)
    while live is not None:
        query = {"watch": "1", "fieldSelector": "metadata.name=demo-release", "timeoutSeconds": 5,
                 "resourceVersion": live["metadata"]["resourceVersion"]}  # fmt: skip
        response = place.cluster.stream(_lease.path("demo", place.name).rpartition("/")[0], query)
        for line in response:
            if b'"type":"DELETED"' in line[:40]:
                break
        response.close()
        live = lease(place)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_playbook_told_to_stop_gives_its_lock_back(place, gate, tmp_path, number):
    place.release(place.config(a="1"), place.config("old-a"), place.config("old-b"), workload(place, "1"))
    gate.point = POINTS["while it waits"]
    process = play(place, gate, tmp_path)
    process.send_signal(number)
    gate.open()
    process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    await_no_lease(place)
    assert (record(place).revision, record(place).state) == (2, "pending")
    goes_on(place)


def test_a_playbook_that_is_killed_leaves_a_module_that_ends_its_work(place, gate, tmp_path):
    """Nobody can tell it; until it has finished it has the lock."""
    place.release(place.config(a="1"), place.config("old-a"), place.config("old-b"), workload(place, "1"))
    gate.point = POINTS["while objects are applied"]
    process = play(place, gate, tmp_path)
    process.kill()
    process.wait(timeout=SECONDS)
    with pytest.raises(_lease.LeaseHeld):
        place.release(*second(place))
    gate.open()
    await_no_lease(place)
    goes_on(place)
