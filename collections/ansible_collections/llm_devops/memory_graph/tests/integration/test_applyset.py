# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""One ApplySet (KEP-3659), two tools: the real kubectl reads and prunes ours, and we one of kubectl's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import PART_OF, applyset_id

OURS = "llm-devops-memory-graph/v1"
TOOLING = "applyset.kubernetes.io/tooling"
KINDS = "applyset.kubernetes.io/contains-group-kinds"
RESOURCES = "applyset.kubernetes.io/contains-group-resources"
RECORD = "secrets/demo-release"


def command():
    """Return the command of kubectl: this machine's, or else the one of the kind node."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memory-graph" / "bin"
    program = shutil.which("kubectl", path=f"{os.environ['PATH']}{os.pathsep}{cache}")
    if program:
        return ["env", "KUBECTL_APPLYSET=true", program]
    context = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())["current-context"]
    node = f"{context.removeprefix('kind-')}-control-plane"
    inside = ["env", "KUBECTL_APPLYSET=true", "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]
    return ["docker", "exec", "-i", node, *inside]


class Kubectl:
    def __init__(self, sandbox):
        self.sandbox = sandbox

    def run(self, *arguments, stdin=""):
        return subprocess.run([*command(), "-n", self.sandbox.name, *arguments], input=stdin, text=True,
                              capture_output=True, timeout=60, check=False)  # fmt: skip

    def apply(self, *objects):
        """Run ``kubectl apply --prune --applyset`` on the set whose parent is our record."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.run("apply", "--prune", "--applyset=secret/demo-release", "-f", "-", stdin=listed)

    def hand_over(self, tooling):
        done = self.run("annotate", "secret", "demo-release", "--overwrite", f"{TOOLING}={tooling}")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def kubectl(sandbox):
    return Kubectl(sandbox)


@pytest.fixture
def foreign(sandbox):
    """Return a function that makes an object of no set in the namespace; every prune must spare it."""

    def make():
        sandbox.cluster.request("POST", sandbox.path("configmaps"), None, {"metadata": {"name": "foreign"}})

    yield make
    assert sandbox.get("configmaps/foreign"), "an object that is no member was pruned"


def service(name):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


def unstartable():
    labels = {"app": "demo"}
    pod = {"containers": [{"name": "main", "image": "INVALID"}], "terminationGracePeriodSeconds": 0}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo"}, "spec": spec}


def hint(sandbox):
    return sandbox.get(RECORD)["metadata"]["annotations"][KINDS]


def actions(outcome):
    return {str(candidate.member.ref): candidate.action for candidate in outcome.prune_candidates}


def test_kubectl_reads_our_set_and_leaves_it_to_us(sandbox, kubectl, foreign):
    sandbox.release(sandbox.config("one"), sandbox.config("two"))
    foreign()
    refused = kubectl.apply(sandbox.config("one"))
    assert refused.returncode != 0
    tool = OURS.partition("/")[0]
    assert f'managed by tooling "{tool}" instead of "kubectl"' in refused.stderr, refused.stderr
    assert sandbox.get("configmaps/two")


def test_kubectl_prunes_our_set_when_it_is_given_to_it(sandbox, kubectl, foreign):
    sandbox.release(sandbox.config("one"), sandbox.config("two"), service("three"))
    foreign()
    kubectl.hand_over("kubectl/v1")
    done = kubectl.apply(sandbox.namespace, sandbox.config("one"))
    assert done.returncode == 0, done.stderr
    assert "configmap/two pruned" in done.stdout, done.stdout
    assert "service/three pruned" in done.stdout, done.stdout
    assert sandbox.get("configmaps/one")
    assert hint(sandbox) == "ConfigMap,Namespace"


def test_our_set_comes_back_from_kubectl_with_what_it_added(sandbox, kubectl, foreign):
    """Only the label, not the record, shows the objects that kubectl added."""
    sandbox.release(sandbox.config("one"), sandbox.config("two"))
    foreign()
    kubectl.hand_over("kubectl/v1")
    done = kubectl.apply(sandbox.namespace, sandbox.config("one"), service("added"))
    assert done.returncode == 0, done.stderr
    kubectl.hand_over(OURS)
    outcome = sandbox.release(sandbox.config("one"))
    assert not outcome.failures
    assert actions(outcome) == {"Service/added": "pruned"}
    assert sandbox.get("services/added") is None
    assert hint(sandbox) == "ConfigMap,Namespace"


def test_set_of_kubectl_is_refused_in_one_sentence(sandbox, kubectl):
    """A release of that name would prune objects of kubectl."""
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, sandbox.namespace)
    assert kubectl.apply(sandbox.config("one")).returncode == 0
    with pytest.raises(ClusterError) as caught:
        sandbox.release(sandbox.config("ours"))
    assert (
        f"Secret/demo-release in {sandbox.name} belongs to other tooling ({TOOLING}: kubectl/v" in caught.value.message
    )
    assert f"--overwrite {TOOLING}={OURS}" in caught.value.way_out
    assert sandbox.get("configmaps/ours") is None
    assert sandbox.get("configmaps/one")


@pytest.mark.parametrize("annotation", [KINDS, RESOURCES])
def test_set_of_kubectl_is_pruned_when_it_is_given_to_us(sandbox, kubectl, foreign, annotation):
    """The parent's hint names kinds, or resources as kubectl 1.27 wrote them."""
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, sandbox.namespace)
    applied = kubectl.apply(sandbox.config("one"), sandbox.config("two"), service("three"))
    assert applied.returncode == 0, applied.stderr
    foreign()
    kubectl.hand_over(OURS)
    if annotation == RESOURCES:
        sandbox.edit(RECORD, {"metadata": {"annotations": {KINDS: None, RESOURCES: "configmaps,services"}}})
    outcome = sandbox.release(sandbox.config("one"))
    assert not outcome.failures
    assert actions(outcome) == {"ConfigMap/two": "pruned", "Service/three": "pruned"}
    assert sandbox.get("configmaps/two") is None
    assert sandbox.get("services/three") is None
    assert hint(sandbox) == "ConfigMap,Namespace"
    again = sandbox.release(sandbox.config("one"))
    assert not again.differs
    assert not again.written


def test_hint_is_wide_until_what_left_is_pruned(sandbox):
    """A run that fails before the prune leaves a parent that names the kinds of all members."""
    sandbox.release(sandbox.config(), service("old"))
    failed = sandbox.release(sandbox.config(), unstartable(), wait_timeout=1)
    assert failed.failures
    assert hint(sandbox) == "ConfigMap,Deployment.apps,Namespace,Service"
    assert sandbox.get("services/old")
    assert not sandbox.release(sandbox.config()).failures
    assert hint(sandbox) == "ConfigMap,Namespace"
    assert sandbox.get("services/old") is None


def test_members_are_found_when_the_record_is_lost(sandbox, foreign):
    sandbox.release(sandbox.config("one"), sandbox.config("two"))
    foreign()
    sandbox.cluster.delete(sandbox.path(RECORD))
    outcome = sandbox.release(sandbox.config("one"))
    assert actions(outcome) == {"ConfigMap/two": "pruned"}
    assert sandbox.get("configmaps/two") is None


def test_copies_of_the_label_are_not_pruned(sandbox):
    """Some operators copy labels to the objects they create without a controller reference."""
    sandbox.release(sandbox.config())
    labels = {PART_OF: applyset_id("demo", sandbox.name)}
    copy = {"metadata": {"name": "copy", "labels": labels}}
    sandbox.cluster.request("POST", sandbox.path("configmaps"), {"fieldManager": "some-operator"}, copy)
    outcome = sandbox.release(sandbox.config(LOG_LEVEL="debug"))
    assert actions(outcome) == {"ConfigMap/copy": "foreign"}
    assert not outcome.pruned
    assert sandbox.get("configmaps/copy")


def test_endpoints_that_copy_a_services_labels_are_not_pruned(sandbox):
    """The release has a Service and Endpoints; the endpoint controller adds Endpoints that are not its members."""
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "outside"},
                 "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]}  # fmt: skip
    selecting = service("selecting")
    selecting["spec"]["selector"] = {"app": "demo"}
    objects = [service("outside"), endpoints, selecting]
    sandbox.release(*objects)
    outcome = sandbox.release(*objects)
    assert not outcome.pruned
    assert not outcome.differs


def test_set_in_two_namespaces_is_found_in_both(sandbox, kubectl):
    """kubectl prunes in the namespaces that the parent names as additional ones."""
    other = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{sandbox.name}-b"}}
    far = {**sandbox.config("far"), "metadata": {"name": "far", "namespace": f"{sandbox.name}-b"}}
    try:
        sandbox.release(other, sandbox.config("one"), far)
        kubectl.hand_over("kubectl/v1")
        done = kubectl.apply(sandbox.namespace, other, sandbox.config("one"))
        assert done.returncode == 0, done.stderr
        assert "configmap/far pruned" in done.stdout, done.stdout
    finally:
        sandbox.cluster.delete(f"/api/v1/namespaces/{sandbox.name}-b")
