# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Revisions kept in the cluster, and the way back to them."""

from __future__ import annotations

import base64
import json
import random
import zlib

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import failure_text

SECRET = "correct-horse-battery-staple"


def secret(**data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": data}


def claim(size):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}


def workload(label="demo", replicas=0):
    container = {"name": "main", "image": "none.invalid/none:1", "imagePullPolicy": "Never"}
    template = {"metadata": {"labels": {"app": label}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": label}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo"}, "spec": spec}


def revision_secrets(sandbox):
    return [name for name in sandbox.names("secrets") if name.startswith("demo-release.")]


def test_a_rollback_brings_objects_back_as_a_new_revision(sandbox):
    sandbox.release(sandbox.config(a="1"), sandbox.config("gone", x="1"))
    sandbox.release(sandbox.config(a="2"), sandbox.config("new"))
    outcome = sandbox.release(revision=1)
    assert not outcome.failures
    assert sandbox.get("configmaps/settings")["data"] == {"a": "1"}
    assert sandbox.get("configmaps/gone")["data"] == {"x": "1"}
    assert sandbox.get("configmaps/new") is None
    assert (outcome.record.revision, outcome.record.state, outcome.record.description) == (
        3,
        "deployed",
        "rollback to 1",
    )
    assert [(item["revision"], item["note"]) for item in outcome.record.revisions] == [
        (1, ""), (2, ""), (3, "rollback to 1"),
    ]  # fmt: skip
    assert "rollback from revision 2 to the objects of revision 1" in sandbox.progress_lines
    assert "1 to create, 1 to change, 1 to prune" in " ".join(sandbox.progress_lines)


def test_a_revision_says_who_made_it(sandbox):
    deployer = sandbox.release(sandbox.config()).record.deployed_by
    review = sandbox.cluster.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", None, {
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})  # fmt: skip
    assert deployer.startswith(review["status"]["userInfo"]["username"] + " from ")
    assert "@" in deployer


def test_without_a_number_a_rollback_goes_to_the_last_deployed_revision(sandbox):
    sandbox.release(sandbox.config(a="1"))
    sandbox.release(sandbox.config(a="2"))
    broken = sandbox.release(sandbox.config(a="3"), workload(replicas=1))
    assert "Rollback: the release module with revision: 2" in failure_text(broken)
    outcome = sandbox.release(revision=0)
    assert outcome.record.description == "rollback to 2"
    assert sandbox.get("configmaps/settings")["data"] == {"a": "2"}
    assert sandbox.cluster.find(f"/apis/apps/v1/namespaces/{sandbox.name}/deployments/demo") is None


def test_a_failed_revision_can_be_asked_for_and_is_said_to_have_failed(sandbox):
    sandbox.release(workload(replicas=1))
    sandbox.release(workload())
    sandbox.release(revision=1, check=True)
    assert "note revision 1 did not become ready when it was deployed (failed)" in sandbox.progress_lines


def test_check_mode_plans_a_rollback_and_writes_nothing(sandbox):
    sandbox.release(sandbox.config(a="1"))
    sandbox.release(sandbox.config(a="2"))
    outcome = sandbox.release(revision=1, check=True)
    assert outcome.differs
    assert sandbox.get("configmaps/settings")["data"] == {"a": "2"}
    assert revision_secrets(sandbox) == ["demo-release.slot1", "demo-release.slot2"]


def test_values_of_secrets_are_kept_nowhere_and_stay_as_they_are(sandbox):
    sandbox.release(secret(API_KEY=SECRET), sandbox.config(a="1"))
    sandbox.release(secret(API_KEY="rotated", OTHER="more"), sandbox.config(a="2"))
    stored = [sandbox.get(f"secrets/{name}") for name in revision_secrets(sandbox)]
    texts = [zlib.decompress(base64.b64decode(item["data"]["objects"])).decode() for item in stored]
    for hidden in (
        SECRET,
        "rotated",
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"rotated").decode(),
    ):
        assert hidden not in json.dumps([texts, stored])
    outcome = sandbox.release(revision=1)
    assert not outcome.failures
    assert sandbox.get("configmaps/settings")["data"] == {"a": "1"}
    live = {name: base64.b64decode(value).decode() for name, value in sandbox.get("secrets/keys")["data"].items()}
    assert live == {"API_KEY": "rotated", "OTHER": "more"}
    assert (
        "note Secret/keys keeps its present API_KEY, OTHER: values of Secrets do not go back" in sandbox.progress_lines
    )


def test_a_secret_that_is_gone_cannot_come_back(sandbox):
    sandbox.release(secret(API_KEY=SECRET), sandbox.config(a="1"))
    sandbox.release(sandbox.config(a="2"))
    with pytest.raises(ClusterError, match="revision 1 of demo cannot come back: Secret/keys is gone") as refused:
        sandbox.release(revision=1)
    assert "nothing was written" in str(refused.value)
    assert sandbox.get("configmaps/settings")["data"] == {"a": "2"}


def test_a_key_that_is_gone_from_a_secret_cannot_come_back(sandbox):
    sandbox.release(secret(API_KEY=SECRET, OLD="x"))
    sandbox.release(secret(API_KEY=SECRET))
    with pytest.raises(ClusterError, match="Secret/keys has no OLD any more"):
        sandbox.release(revision=1)


def test_a_volume_cannot_shrink(sandbox):
    """Neither a rollback nor a deployment may shrink it."""
    sandbox.release(claim("1Mi"))
    sandbox.remove("persistentvolumeclaims/data")
    sandbox.release(claim("2Mi"))
    with pytest.raises(ClusterError, match="PersistentVolumeClaim/data has 2Mi and cannot shrink to 1Mi"):
        sandbox.release(revision=1)
    refused = sandbox.release(claim("1Mi"))
    assert "PersistentVolumeClaim/data has 2Mi and cannot shrink to 1Mi: a volume only grows" in failure_text(refused)
    assert "Nothing was written." in failure_text(refused)


def test_an_unchangeable_field_is_said_with_the_way_out(sandbox):
    sandbox.release(workload())
    sandbox.cluster.delete(f"/apis/apps/v1/namespaces/{sandbox.name}/deployments/demo")
    assert not sandbox.release(workload("other")).failures
    for outcome in (sandbox.release(revision=1), sandbox.release(workload())):
        text = failure_text(outcome)
        assert "Deployment/demo exists, and its spec.selector cannot change" in text
        assert f"kubectl -n {sandbox.name} delete deployment demo --cascade=orphan" in text
        assert "Nothing was written." in text


def test_an_unchangeable_part_of_a_stateful_set_is_named(sandbox):
    def stateful(service):
        stateful_set = {**workload(), "kind": "StatefulSet"}
        return {**stateful_set, "spec": {**stateful_set["spec"], "serviceName": service}}

    sandbox.release(stateful("one"))
    assert "StatefulSet/demo exists, and its spec.serviceName cannot change" in failure_text(
        sandbox.release(stateful("two"))
    )


def test_a_revision_nobody_remembers_is_refused_with_those_there_are(sandbox):
    with pytest.raises(ClusterError, match="demo was never released"):
        sandbox.release(revision=1)
    sandbox.release(sandbox.config(a="1"))
    with pytest.raises(ClusterError, match="no revision before 1 of demo was deployed"):
        sandbox.release(revision=0)
    sandbox.release(sandbox.config(a="2"))
    with pytest.raises(ClusterError, match="has no revision 7 — it remembers 1 deployed, 2 deployed"):
        sandbox.release(revision=7)


def test_objects_that_were_not_kept_are_said(sandbox):
    sandbox.release(sandbox.config(a="1"))
    sandbox.release(sandbox.config(a="2"))
    sandbox.cluster.delete(sandbox.path("secrets/demo-release.slot1"))
    with pytest.raises(ClusterError, match="the objects of revision 1 of demo were not kept"):
        sandbox.release(revision=1)


def test_history_is_bounded(sandbox):
    for number in range(4):
        sandbox.release(sandbox.config(a=str(number)), history_limit=2)
    assert revision_secrets(sandbox) == ["demo-release.slot1", "demo-release.slot2"], (
        "the slots of those forgotten are used again"
    )
    with pytest.raises(ClusterError, match="it remembers 3 deployed, 4 deployed"):
        sandbox.release(revision=1)


def test_what_fits_no_secret_is_split(sandbox):
    """Random text cannot be compressed."""
    source = random.Random(7)
    big = [
        sandbox.config(f"big-{number}", text="".join(source.choices("0123456789abcdef", k=900_000))) for number in "ab"
    ]
    sandbox.release(big[0])
    assert revision_secrets(sandbox) == ["demo-release.slot1"]
    more = [
        sandbox.config(f"more-{number}", text=base64.b85encode(source.randbytes(700_000)).decode()) for number in "ab"
    ]
    sandbox.release(*big, *more)
    assert revision_secrets(sandbox) == [
        "demo-release.slot1",
        "demo-release.slot2",
        "demo-release.slot2.2",
        "demo-release.slot2.3",
    ]
    sandbox.release(sandbox.config(a="3"))
    outcome = sandbox.release(revision=2)
    assert not outcome.failures
    assert sandbox.get("configmaps/more-b")["data"] == more[1]["data"]


def test_a_revision_that_cannot_be_kept_does_not_fail_the_deployment(sandbox):
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, sandbox.namespace)
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/secrets": "1"}}}
    sandbox.cluster.request("POST", sandbox.path("resourcequotas"), None, quota)
    sandbox.edit(
        "resourcequotas/few/status", {"status": {"hard": {"count/secrets": "1"}, "used": {"count/secrets": "0"}}}
    )
    outcome = sandbox.release(sandbox.config())
    assert not outcome.failures
    assert any("note revision 1 will not be one to roll back to: " in line for line in sandbox.progress_lines)
    assert outcome.record.parts == 0


def test_teardown_takes_the_history_with_the_record(sandbox):
    sandbox.cluster.request("POST", "/api/v1/namespaces", None, sandbox.namespace)
    for number in "12":
        Release(
            connect({}), ReleaseParams("demo", sandbox.name, [sandbox.config(a=number)]), lambda *_line: None
        ).present()
    assert revision_secrets(sandbox) == ["demo-release.slot1", "demo-release.slot2"]
    Release(connect({}), ReleaseParams("demo", sandbox.name), lambda *_line: None).absent()
    assert [name for name in sandbox.names("secrets") if name.startswith("demo-release")] == []


def test_what_was_really_written_is_counted(sandbox):
    sandbox.release(sandbox.config(a="1"), sandbox.config("same"))
    assert any(line.startswith("apply namespace · config  3/3  ") for line in sandbox.progress_lines)
    sandbox.release(sandbox.config(a="2"), sandbox.config("same"))
    assert any(line.startswith("apply config  1/1  ") for line in sandbox.progress_lines)


def test_all_that_is_refused_is_said_at_once(sandbox):
    sandbox.release(sandbox.config())
    broken = [{**sandbox.config(name), "immutable": "maybe"} for name in ("one", "two")]
    text = failure_text(sandbox.release(sandbox.config(), *broken))
    assert "ConfigMap/one" in text
    assert "ConfigMap/two" in text
    assert text.endswith("Nothing was written.")


def test_a_wave_written_in_part_says_what_was_written(sandbox):
    """The second object passes its dry run and is refused when written, as a rival has created it meanwhile."""
    sandbox.release(sandbox.config(a="1"))
    run = sandbox.run(sandbox.config(a="2"), sandbox.config("taken"), sandbox.config("also"))
    apply, other = run.cluster.apply, {**sandbox.config("taken"), "immutable": True}

    def racing(path, manifest, **options):
        if path.endswith("/taken") and not options.get("dry_run"):
            sandbox.cluster.request("POST", sandbox.path("configmaps"), {"fieldManager": "rival"}, other)
        return apply(path, manifest, **options)

    other["data"] = {"LOG_LEVEL": "theirs"}
    run.cluster.apply = racing
    text = failure_text(run.present())
    assert "ConfigMap/taken" in text
    assert "2 of 3 objects that differ were written. Rollback: the release module with revision: 1." in text
    assert sandbox.release(revision=1).record.state == "deployed"
    assert sandbox.get("configmaps/also") is None
