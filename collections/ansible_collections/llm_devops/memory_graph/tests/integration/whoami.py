# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The user that the API server sees behind a connection."""

from __future__ import annotations

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect


def whoami(options):
    """Return the user that the API server sees in us (SelfSubjectReview)."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = connect(options).request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", None, body)
    return answer["status"]["userInfo"]


def user(options):
    return whoami(options)["username"]


def account(namespace, name="one"):
    return f"system:serviceaccount:{namespace}:{name}"
