# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Dry runs in a stand-in namespace: only their answers about an object's content count."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _new_namespace
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._release import Release, ReleaseParams
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.api_server import ApiServer

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}}


def thing(kind, name="x", **content):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}


def released(server, *objects, check=True):
    params = ReleaseParams("demo", "new", [NAMESPACE, *objects], check=check, wait=False, parallelism=1)
    return Release(server, params, lambda *_line: None).present()


class RecordingApiServer(ApiServer):
    """Keeps what it was asked in a dry run, and refuses what has ``wrong`` in its ``data``."""

    def __init__(self):
        super().__init__(lambda manifest, _dry_run: "data: no" if "wrong" in manifest.get("data", {}) else "")
        self.paths = []

    def _patch(self, path, query, body):
        if "dryRun" in query:
            self.paths.append((path, body))
        response = super()._patch(path, query, body)
        if response.status == 422:
            response.data = response.data.replace(b'{"field"', b'{"reason": "FieldValueInvalid", "field"')
        return response


def test_a_refused_object_leaves_nothing_written():
    server = RecordingApiServer()
    outcome = released(server, thing("ConfigMap"), thing("ConfigMap", "y", data={"wrong": "x"}), check=False)
    assert [failure["name"] for failure in outcome.failures] == ["y"]
    assert server.written == []


def test_another_namespace_sees_keys_and_sizes_of_a_secret_and_no_pod():
    server = RecordingApiServer()
    values = {"password": "hunter2", "empty": "", "long": "x" * 1000}
    outcome = released(server, thing("Secret", stringData=values), thing("Pod", "y", spec={}))
    assert outcome.failures == []
    [secret] = [body for path, body in server.paths if "/default/" in path]
    assert {key: len(base64.b64decode(value)) for key, value in secret["data"].items()} == {
        "password": 7, "empty": 0, "long": 1000,
    }  # fmt: skip
    assert json.loads(base64.b64decode(secret["data"]["password"])) == {}
    assert [step.remark for step in outcome.steps] == ["", "", "not validated: namespace new does not exist yet"]


def test_an_object_of_that_name_in_the_stand_in_namespace_is_ignored():
    server = RecordingApiServer()
    server.put("/api/v1/namespaces/default/configmaps/x", thing("ConfigMap"))
    server.refuses = lambda manifest, dry_run: (
        "field is immutable" if dry_run and manifest["kind"] == "ConfigMap" else ""
    )
    assert released(server, thing("ConfigMap")).failures == []


def forbid(server, part):
    """No path with ``part`` in it may be read."""
    get = server._get

    def forbidden(path, query, body):
        answer = get(path, query, body)
        answer.status = 403 if part in path else answer.status
        return answer

    server._get = forbidden


def test_a_deployer_needs_no_right_to_read_in_the_other_namespace():
    server = RecordingApiServer()
    forbid(server, "/namespaces/default/")
    assert released(server, thing("ConfigMap", data={"wrong": "x"})).failures == []


def test_where_admission_may_not_be_read_nothing_is_asked():
    server = RecordingApiServer()
    forbid(server, "admissionregistration")
    assert released(server, thing("ConfigMap")).failures == []
    assert [path for path, _body in server.paths] == ["/api/v1/namespaces/new"]


def refused(status, reason, message="", *causes):
    body = {"reason": reason, "message": message, "details": {"causes": list(causes)}}
    return ApiError(status, body, message)


VALUE = {"reason": "FieldValueInvalid", "field": "spec.replicas", "message": "no"}


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (refused(422, "Invalid", "", VALUE), True),
        (refused(422, "Invalid", "", {**VALUE, "field": "metadata.namespace"}), False),
        (refused(422, "Invalid", "ValidatingAdmissionPolicy 'x' denied request", {"message": "denied"}), False),
        (refused(422, "Invalid"), False),
        (refused(500, "", "failed to create typed patch object: .spec.x: field not declared in schema"), True),
        (refused(500, "InternalError", "failed calling webhook"), False),
        (refused(400, "BadRequest", "unable to convert unstructured object to v1, Kind=Pod"), True),
        (refused(400, "BadRequest", "admission webhook does not support dry run"), False),
        (refused(403, "Forbidden", "exceeded quota"), False),
        (refused(409, "Conflict", "taken"), False),
    ],
)
def test_only_what_is_said_of_fields_counts(error, counts):
    assert _new_namespace.is_about_content(error) is counts
