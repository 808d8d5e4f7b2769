# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Refusals of the API server, in one sentence without Go's values."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._error_messages import (
    api_error,
    is_about_manifest,
    unreachable,
)

REVIEWS = 'resource "selfsubjectreviews" in API group "authentication.k8s.io" at the cluster scope'
TYPED = "failed to create typed patch object (ns/x; apps/v1, Kind=Deployment): "


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        (".foo: field not declared in schema", "foo is no field of it"),
        (
            "errors:\n  .data.k: expected string, got &value{Value:1}\n  .foo: field not declared in schema",
            "data.k: expected string; foo is no field of it",
        ),
        (
            '.spec.containers[name="c"].env[name="A"].key: expected string, got &value.valueUnstructured{Value:true}',
            'spec.containers[name="c"].env[name="A"].key: expected string',
        ),
        ('duplicate entries for key [name="A"]', 'duplicate entries for key [name="A"]'),
    ],
)
def test_a_field_that_the_schema_has_not_is_named(faults, sentence):
    error = api_error("PATCH", "/x", 500, {"message": TYPED + faults}, None)
    assert str(error) == f"{sentence} — correct the field, or leave it out"


def test_a_long_refusal_is_told_by_its_causes_without_go_values():
    value = '{"Volumes":null,"Containers":[' + '{"Name":"m"},' * 200 + "]}"
    causes = [{"field": "spec.template", "message": f"Invalid value: {value}: field is immutable"},
              *({"field": f"spec.x{number}", "message": "Required value"} for number in range(9))]  # fmt: skip
    message = f'Job.batch "j" is invalid: [spec.template: Invalid value: {value}: field is immutable, …]'
    error = api_error("PATCH", "/x", 422, {"message": message, "details": {"causes": causes}}, None)
    assert error.message.startswith(
        'Job.batch "j" is invalid: spec.template: Invalid value: field is immutable; spec.x0: Required value; '
    )
    assert error.message.endswith("; and 2 more")
    assert api_error("PATCH", "/x", 422, {"message": "x" * 3000}, None).message == "x" * 600 + "…"


@pytest.mark.parametrize(
    ("message", "never"),
    [
        (TYPED + ".foo: field not declared in schema", True),
        (TYPED + ".immutable: expected boolean, got &{yes}", True),
        ("failed to convert new object (/x; /v1, Kind=Secret) to proper version: unable to convert …", True),
        ("Internal error occurred: failed calling webhook: connection refused", False),
        ("etcdserver: request timed out", False),
    ],
)
def test_a_500_about_the_manifest_is_not_sent_again(message, never):
    assert is_about_manifest(api_error("PATCH", "/x", 500, {"message": message}, None)) is never


@pytest.mark.parametrize("verb", ["create", "impersonate-on:user-info:create"])  # the second since Kubernetes 1.36
def test_who_may_not_do_what_is_said_whatever_the_verb(verb):
    message = f'selfsubjectreviews.authentication.k8s.io is forbidden: User "jane" cannot {verb} {REVIEWS}'
    error = api_error("POST", "/x", 403, {"message": message}, SimpleNamespace(server="https://there", username=None))
    resource = "selfsubjectreviews.authentication.k8s.io"
    assert error.message == f"https://there: jane may not {verb} {resource} at cluster scope"
    assert f"kubectl auth can-i {verb} {resource} --as jane" in error.way_out


@pytest.mark.parametrize(
    ("scheme", "way_out"),
    [
        ("http", "if it wants HTTPS, write the host with https://; the address comes from option host"),
        ("https", "is the cluster running? The address comes from option host"),
    ],
)
def test_a_connection_that_http_was_spoken_over_may_have_wanted_https(scheme, way_out):
    access = SimpleNamespace(server=f"{scheme}://api.example:6443", source="option host", ca=None)
    error = unreachable(access, ConnectionResetError("Connection reset by peer"))
    assert str(error).endswith(f"the connection was dropped — {way_out}")


def test_a_server_that_says_it_wants_https_is_believed():
    access = SimpleNamespace(server="http://api.example:6443", source="option host")
    message = {"message": "Client sent an HTTP request to an HTTPS server."}
    assert (
        str(api_error("GET", "/x", 400, message, access))
        == f"{access.server} wants HTTPS — write the host with https://"
    )
