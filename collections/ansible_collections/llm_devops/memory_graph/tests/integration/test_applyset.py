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
    """kubectl of this machine, or the one every kind node has."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memory-graph" / "bin"
    found = shutil.which("kubectl", path=f"{os.environ['PATH']}{os.pathsep}{cache}")
    if found:
        return ["env", "KUBECTL_APPLYSET=true", found]
    context = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())["current-context"]
    node = f"{context.removeprefix('kind-')}-control-plane"
    inside = ["env", "KUBECTL_APPLYSET=true", "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]
    return ["docker", "exec", "-i", node, *inside]


class Kubectl:
    def __init__(self, place):
        self.place = place

    def run(self, *arguments, stdin=""):
        return subprocess.run([*command(), "-n", self.place.name, *arguments], input=stdin, text=True,
                              capture_output=True, timeout=60, check=False)  # fmt: skip

    def apply(self, *objects):
        """``kubectl apply --prune --applyset`` on the set whose parent is our record."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.run("apply", "--prune", "--applyset=secret/demo-release", "-f", "-", stdin=listed)

    def hand_over(self, tooling):
        done = self.run("annotate", "secret", "demo-release", "--overwrite", f"{TOOLING}={tooling}")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def kubectl(place):
    return Kubectl(place)


@pytest.fixture
def foreign(place):
    """An object of nobody's set, made once the namespace is there; it must outlive every prune."""

    def make():
        place.cluster.request("POST", place.path("configmaps"), None, {"metadata": {"name": "foreign"}})

    yield make
    assert place.get("configmaps/foreign"), "an object that is no member was pruned"


def service(name):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


def unstartable():
    labels = {"app": "demo"}
    pod = {"containers": [{"name": "main", "image": "INVALID"}], "terminationGracePeriodSeconds": 0}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo"}, "spec": spec}


def hint(place):
    return place.get(RECORD)["metadata"]["annotations"][KINDS]


def actions(outcome):
    return {str(one.member.ref): one.action for one in outcome.prune_candidates}


def test_kubectl_reads_our_set_and_leaves_it_to_us(place, kubectl, foreign):
    place.release(place.config("one"), place.config("two"))
    foreign()
    refused = kubectl.apply(place.config("one"))
    assert refused.returncode != 0
    tool = OURS.partition("/")[0]
    assert f'managed by tooling "{tool}" instead of "kubectl"' in refused.stderr, refused.stderr
    assert place.get("configmaps/two")


def test_kubectl_prunes_our_set_when_it_is_given_to_it(place, kubectl, foreign):
    place.release(place.config("one"), place.config("two"), service("three"))
    foreign()
    kubectl.hand_over("kubectl/v1")
    done = kubectl.apply(place.namespace, place.config("one"))
    assert done.returncode == 0, done.stderr
    assert "configmap/two pruned" in done.stdout, done.stdout
    assert "service/three pruned" in done.stdout, done.stdout
    assert place.get("configmaps/one")
    assert hint(place) == "ConfigMap,Namespace"


def test_our_set_comes_back_from_kubectl_with_what_it_added(place, kubectl, foreign):
    """The record knows nothing of what kubectl made meanwhile; the label does."""
    place.release(place.config("one"), place.config("two"))
    foreign()
    kubectl.hand_over("kubectl/v1")
    done = kubectl.apply(place.namespace, place.config("one"), service("added"))
    assert done.returncode == 0, done.stderr
    kubectl.hand_over(OURS)
    outcome = place.release(place.config("one"))
    assert not outcome.failures
    assert actions(outcome) == {"Service/added": "pruned"}
    assert place.get("services/added") is None
    assert hint(place) == "ConfigMap,Namespace"


def test_set_of_kubectl_is_refused_in_one_sentence(place, kubectl):
    """A release of that name would prune what is kubectl's."""
    place.cluster.request("POST", "/api/v1/namespaces", None, place.namespace)
    assert kubectl.apply(place.config("one")).returncode == 0
    with pytest.raises(ClusterError) as caught:
        place.release(place.config("ours"))
    assert f"Secret/demo-release in {place.name} belongs to other tooling ({TOOLING}: kubectl/v" in caught.value.message
    assert f"--overwrite {TOOLING}={OURS}" in caught.value.way_out
    assert place.get("configmaps/ours") is None
    assert place.get("configmaps/one")


@pytest.mark.parametrize("annotation", [KINDS, RESOURCES])
def test_set_of_kubectl_is_pruned_when_it_is_given_to_us(place, kubectl, foreign, annotation):
    """Also one whose parent has the hint of kubectl 1.27, which named resources."""
    place.cluster.request("POST", "/api/v1/namespaces", None, place.namespace)
    made = kubectl.apply(place.config("one"), place.config("two"), service("three"))
    assert made.returncode == 0, made.stderr
    foreign()
    kubectl.hand_over(OURS)
    if annotation == RESOURCES:
        place.edit(RECORD, {"metadata": {"annotations": {KINDS: None, RESOURCES: "configmaps,services"}}})
    outcome = place.release(place.config("one"))
    assert not outcome.failures
    assert actions(outcome) == {"ConfigMap/two": "pruned", "Service/three": "pruned"}
    assert place.get("configmaps/two") is None
    assert place.get("services/three") is None
    assert hint(place) == "ConfigMap,Namespace"
    again = place.release(place.config("one"))
    assert not again.differs
    assert not again.written


def test_hint_is_wide_until_what_left_is_pruned(place):
    """A run that fails between leaves a parent that still leads to everything."""
    place.release(place.config(), service("old"))
    failed = place.release(place.config(), unstartable(), wait_timeout=1)
    assert failed.failures
    assert hint(place) == "ConfigMap,Deployment.apps,Namespace,Service"
    assert place.get("services/old")
    assert not place.release(place.config()).failures
    assert hint(place) == "ConfigMap,Namespace"
    assert place.get("services/old") is None


def test_members_are_found_when_the_record_is_lost(place, foreign):
    place.release(place.config("one"), place.config("two"))
    foreign()
    place.cluster.delete(place.path(RECORD))
    outcome = place.release(place.config("one"))
    assert actions(outcome) == {"ConfigMap/two": "pruned"}
    assert place.get("configmaps/two") is None


def test_copies_of_the_label_are_not_pruned(place):
    """An operator that copies labels to what it makes sets no controller reference in every case."""
    place.release(place.config())
    labels = {PART_OF: applyset_id("demo", place.name)}
    copy = {"metadata": {"name": "copy", "labels": labels}}
    place.cluster.request("POST", place.path("configmaps"), {"fieldManager": "some-operator"}, copy)
    outcome = place.release(place.config(LOG_LEVEL="debug"))
    assert actions(outcome) == {"ConfigMap/copy": "foreign"}
    assert not outcome.pruned
    assert place.get("configmaps/copy")


def test_endpoints_that_copy_a_services_labels_are_not_pruned(place):
    """Here a release has both kinds, and the endpoint controller one that is not the release's."""
    own = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "outside"},
           "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]}  # fmt: skip
    selecting = service("selecting")
    selecting["spec"]["selector"] = {"app": "demo"}
    objects = [service("outside"), own, selecting]
    place.release(*objects)
    outcome = place.release(*objects)
    assert not outcome.pruned
    assert not outcome.differs


def test_set_in_two_namespaces_is_found_in_both(place, kubectl):
    """kubectl prunes where the parent's additional namespaces say members may be."""
    other = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{place.name}-b"}}
    there = {**place.config("far"), "metadata": {"name": "far", "namespace": f"{place.name}-b"}}
    try:
        place.release(other, place.config("one"), there)
        kubectl.hand_over("kubectl/v1")
        done = kubectl.apply(place.namespace, other, place.config("one"))
        assert done.returncode == 0, done.stderr
        assert "configmap/far pruned" in done.stdout, done.stdout
    finally:
        place.cluster.delete(f"/api/v1/namespaces/{place.name}-b")
