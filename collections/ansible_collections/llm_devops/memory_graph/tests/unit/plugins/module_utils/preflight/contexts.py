# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Contexts over recorded answers, for the tests of preflight's checks."""

from __future__ import annotations

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Resource
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._context import PreflightContext


class RecordedCluster:
    """Answers by path; what is not there is a 404, an exception is raised."""

    class access:  # noqa: N801 - as the real one's attribute
        server = "https://cluster.invalid"

    def __init__(self, answers):
        self.answers = answers
        self.applied = []

    def request(self, _verb, path, **_more):
        answer = self.find(path)
        if answer is None:
            raise ApiError(404, {}, f"nothing at {path}")
        return answer

    def find(self, path):
        answer = self.answers.get(path)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def list(self, path, selector="", fields=""):
        return self.find(path) or []

    def apply(self, path, manifest, *, dry_run):
        """The next of the recorded answers to a dry run; without any it is admitted."""
        assert dry_run, "a preflight writes nothing"
        self.applied.append(manifest)
        answers = self.answers.get(path) or []
        if answers:
            raise answers.pop(0)
        return manifest, True


class RecordedDiscovery:
    def serving(self, group, kind):
        return []

    def find(self, api_version, kind):
        return Resource(api_version, kind, f"{kind.lower()}s", True, frozenset()) if kind != "NodePool" else None


def context_of(*objects, answers=None):
    placed = [{**item, "metadata": {"namespace": "home", **item["metadata"]}} for item in objects]
    context = PreflightContext(RecordedCluster(answers or {}), "demo", "home", placed, RecordedDiscovery())
    context.check = "it"
    return context


def workload(kind="Deployment", name="api", replicas=1, strategy=None, pod=None, **container):
    labels = {"app": name}
    spec = {"containers": [{"name": "main", "image": "registry.invalid/api:1", **container}], **(pod or {})}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "home"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            **({"strategy": strategy} if strategy else {}),
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def asking(cpu="1", memory="1Gi"):
    return {"requests": {"cpu": cpu, "memory": memory}}


def messages(context):
    return [item["message"] for item in context]
