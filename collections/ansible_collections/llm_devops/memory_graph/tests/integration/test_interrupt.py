# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Releases whose process is stopped or killed at chosen points: the next run goes on from their state."""

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
from ansible_collections.llm_devops.memory_graph.tests.integration.sandbox import pause_image

MODULES = "ansible_collections.llm_devops.memory_graph.plugins.modules"
COLLECTIONS = Path(__file__).resolve().parents[5]
PROCESS_TIMEOUT_S = 60
POINTS = {
    "before the first write": ("PATCH", "/secrets/demo-release"),
    "while objects are applied": ("PATCH", "/configmaps/settings"),
    "while it waits": ("GET", "/deployments?"),
    "while objects are pruned": ("DELETE", "/configmaps/old-b"),
}


class Gate(FaultProxy):
    """A proxy that holds the first request to a point until ``open()`` lets it pass or drops it."""

    def __init__(self, cluster, folder):
        super().__init__(cluster, folder)
        self.point = ("", "")
        self.reached, self.opened = threading.Event(), threading.Event()
        self._dropping = False

    def due(self, verb, path):
        method, part = self.point
        if (
            verb == method
            and (part in path if part.endswith("?") else path.endswith(part))
            and not self.opened.is_set()
        ):
            self.reached.set()
            self.opened.wait(PROCESS_TIMEOUT_S)
            if self._dropping:
                raise ConnectionAbortedError
        return super().due(verb, path)

    def open(self, drop=False):
        self._dropping = drop
        self.opened.set()


@pytest.fixture
def gate(sandbox, tmp_path):
    with Gate(sandbox.cluster, tmp_path) as new_gate:
        yield new_gate
        new_gate.open(drop=True)


def workload(sandbox, version):
    container = {"name": "main", "image": pause_image(sandbox.cluster), "imagePullPolicy": "Never",
                 "env": [{"name": "V", "value": version}]}  # fmt: skip
    pod = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    template = {"metadata": {"labels": {"app": "demo"}}, "spec": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo"},
            "spec": {"selector": {"matchLabels": {"app": "demo"}}, "template": template}}  # fmt: skip


def second_revision(sandbox):
    return [sandbox.config(a="2"), workload(sandbox, "2")]


def start(sandbox, gate, tmp_path, **options):
    """Start the module as Ansible runs it, with the second revision, and return once it is held at the gate."""
    options = options or {"objects": [sandbox.namespace, *second_revision(sandbox)]}
    params = {"name": "demo", "namespace": sandbox.name, "kubeconfig": gate.kubeconfig(), **options}
    file = tmp_path / "arguments.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": params}))
    process = subprocess.Popen(
        [sys.executable, "-m", f"{MODULES}.release", str(file)], text=True, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert gate.reached.wait(PROCESS_TIMEOUT_S), process.communicate(timeout=PROCESS_TIMEOUT_S)
    return process


def environment():
    return {**os.environ, "PYTHONPATH": str(COLLECTIONS), "ANSIBLE_FORCE_COLOR": "0"}


def record(sandbox):
    return _history.read(sandbox.cluster, "demo", sandbox.name)


def lease(sandbox):
    return sandbox.cluster.find(_lease.path("demo", sandbox.name))


def info(sandbox, tmp_path):
    file = tmp_path / "info.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"name": "demo", "namespace": sandbox.name, "drift": False}}))
    done = subprocess.run([sys.executable, "-m", f"{MODULES}.release_info", str(file)], text=True, env=environment(),
                          capture_output=True, timeout=PROCESS_TIMEOUT_S, check=True)  # fmt: skip
    return json.loads(done.stdout)


def assert_next_run_completes(sandbox):
    """Assert that another run succeeds, and that the run after it changes nothing."""
    outcome = sandbox.release(*second_revision(sandbox), lock_timeout=PROCESS_TIMEOUT_S)
    assert not outcome.failures
    assert (outcome.record.revision, outcome.record.state) == (2, "deployed")
    assert [item["revision"] for item in outcome.record.revisions] == [1, 2]
    assert sandbox.get("configmaps/settings")["data"] == {"a": "2"}
    assert [name for name in sandbox.names("configmaps") if name.startswith("old")] == []
    assert {str(item.ref) for item in outcome.record.members} == {
        f"Namespace/{sandbox.name}", "ConfigMap/settings", "Deployment/demo",
    }  # fmt: skip
    assert lease(sandbox) is None
    again = sandbox.release(*second_revision(sandbox))
    assert not again.differs
    assert again.record.revision == 2


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_told_to_stop_gives_its_lock_back_and_the_next_goes_on(sandbox, gate, tmp_path, point, number):
    sandbox.release(sandbox.config(a="1"), sandbox.config("old-a"), sandbox.config("old-b"), workload(sandbox, "1"))
    gate.point = POINTS[point]
    process = start(sandbox, gate, tmp_path)
    assert lease(sandbox) is not None
    process.send_signal(number)
    gate.open()  # what is on its way arrives
    answer = json.loads(process.communicate(timeout=PROCESS_TIMEOUT_S)[0])
    assert answer["failed"]
    assert answer["msg"].startswith(f"stopped by {number.name}. ")
    assert answer["msg"].endswith("run again: it goes on from here")
    assert lease(sandbox) is None
    pending = record(sandbox)
    assert (pending.revision, pending.state) == (2, "pending")
    assert {"old-a", "old-b"} <= {item.ref.name for item in pending.members}
    assert_next_run_completes(sandbox)


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_killed_leaves_a_lock_that_ends_and_the_next_goes_on(sandbox, gate, tmp_path, point):
    sandbox.release(sandbox.config(a="1"), sandbox.config("old-a"), sandbox.config("old-b"), workload(sandbox, "1"))
    gate.point = POINTS[point]
    process = start(sandbox, gate, tmp_path)
    process.kill()
    process.communicate(timeout=PROCESS_TIMEOUT_S)
    gate.open(drop=True)
    status = info(sandbox, tmp_path)
    assert f"process {process.pid} " in status["lock"]["holder"]
    if point == "before the first write":
        assert (status["revision"], status["state"]) == (1, "deployed")
    else:
        assert (status["revision"], status["state"]) == (2, "pending")
        assert {"old-a", "old-b"} <= {item["name"] for item in status["objects"]}
        assert [item["revision"] for item in status["history"]] == [1]
    with pytest.raises(_lease.LeaseHeld, match=f"process {process.pid} "):
        sandbox.release(*second_revision(sandbox))
    if point != "while objects are applied":  # once the whole time, else a time that is over sooner
        sandbox.edit(_lease.path("demo", sandbox.name), {"spec": {"leaseDurationSeconds": 1}})
    assert_next_run_completes(sandbox)


def test_a_first_deployment_killed_before_it_has_its_lock_goes_on(sandbox, gate, tmp_path):
    """The killed run leaves its namespace and nothing else."""
    gate.point = ("POST", "/leases")
    process = start(sandbox, gate, tmp_path)
    process.kill()
    process.communicate(timeout=PROCESS_TIMEOUT_S)
    gate.open(drop=True)
    assert (lease(sandbox), record(sandbox).revision) == (None, 0)
    outcome = sandbox.release(*second_revision(sandbox))
    assert not outcome.failures
    assert (outcome.record.revision, outcome.record.state) == (1, "deployed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_teardown_that_is_cut_off_is_finished_by_the_next(sandbox, gate, tmp_path, number):
    sandbox.release(sandbox.config(a="1"), sandbox.config("old-a"), sandbox.config("old-b"))
    gate.point = POINTS["while objects are pruned"]
    process = start(sandbox, gate, tmp_path, state="absent")
    process.send_signal(number)
    gate.open(drop=number == signal.SIGKILL)
    process.communicate(timeout=PROCESS_TIMEOUT_S)
    assert {"settings", "old-a", "old-b"} <= {item.ref.name for item in record(sandbox).members}
    if number == signal.SIGKILL:
        sandbox.edit(_lease.path("demo", sandbox.name), {"spec": {"leaseDurationSeconds": 1}})
    assert not sandbox.run(lock_timeout=PROCESS_TIMEOUT_S).absent().failures
    assert sandbox.names("configmaps") == ["kube-root-ca.crt"]
    assert {item.ref.kind for item in record(sandbox).members} == {"Namespace"}
    assert lease(sandbox) is None


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


def play(sandbox, gate, tmp_path):
    """Start the second revision by ansible-playbook, in a process group of its own as under a terminal."""
    variables = {"home": sandbox.name, "objects": [sandbox.namespace, *second_revision(sandbox)],
                 "kubeconfig": gate.kubeconfig(), "ansible_python_interpreter": sys.executable}  # fmt: skip
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    (tmp_path / "play.yml").write_text(PLAY)
    program = str(Path(sys.executable).parent / "ansible-playbook")
    process = subprocess.Popen(
        [program, "play.yml", "-e", "@variables.json"], cwd=tmp_path, text=True, start_new_session=True,
        env=environment() | {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_LOCALHOST_WARNING": "0"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert gate.reached.wait(PROCESS_TIMEOUT_S), process.communicate(timeout=PROCESS_TIMEOUT_S)
    return process


def await_no_lease(sandbox):
    """Watch until the lock is deleted; the time limit of the test ends an endless watch."""
    live = lease(sandbox)
    while live is not None:
        query = {"watch": "1", "fieldSelector": "metadata.name=demo-release", "timeoutSeconds": 5,
                 "resourceVersion": live["metadata"]["resourceVersion"]}  # fmt: skip
        response = sandbox.cluster.stream(_lease.path("demo", sandbox.name).rpartition("/")[0], query)
        for line in response:
            if b'"type":"DELETED"' in line[:40]:
                break
        response.close()
        live = lease(sandbox)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_playbook_told_to_stop_gives_its_lock_back(sandbox, gate, tmp_path, number):
    sandbox.release(sandbox.config(a="1"), sandbox.config("old-a"), sandbox.config("old-b"), workload(sandbox, "1"))
    gate.point = POINTS["while it waits"]
    process = play(sandbox, gate, tmp_path)
    process.send_signal(number)
    gate.open()
    process.communicate(timeout=PROCESS_TIMEOUT_S)
    assert process.returncode != 0
    await_no_lease(sandbox)
    assert (record(sandbox).revision, record(sandbox).state) == (2, "pending")
    assert_next_run_completes(sandbox)


def test_a_playbook_that_is_killed_leaves_a_module_that_ends_its_work(sandbox, gate, tmp_path):
    """No signal reaches the module, so it holds the lock until it has finished."""
    sandbox.release(sandbox.config(a="1"), sandbox.config("old-a"), sandbox.config("old-b"), workload(sandbox, "1"))
    gate.point = POINTS["while objects are applied"]
    process = play(sandbox, gate, tmp_path)
    process.kill()
    process.wait(timeout=PROCESS_TIMEOUT_S)
    with pytest.raises(_lease.LeaseHeld):
        sandbox.release(*second_revision(sandbox))
    gate.open()
    await_no_lease(sandbox)
    assert_next_run_completes(sandbox)
