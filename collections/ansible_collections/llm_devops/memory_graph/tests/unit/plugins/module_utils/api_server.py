# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""An API server in memory, behind the real client: it discovers, lists, applies, deletes, and refuses as told."""

from __future__ import annotations

import base64
import copy
import itertools
import json
from urllib.parse import parse_qs, urlsplit

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import FIELD_MANAGER, Cluster
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._kubeconfig import ClusterConnection
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._retry import RetryWindow

CLUSTER_SCOPED = {"Namespace", "ClusterRole", "CustomResourceDefinition"}
KINDS = {
    "v1": ["Namespace", "ConfigMap", "Secret", "Service", "PersistentVolumeClaim", "ResourceQuota", "Pod"],
    "apps/v1": ["Deployment", "StatefulSet"],
    "batch/v1": ["Job"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
    "rbac.authorization.k8s.io/v1": ["ClusterRole", "RoleBinding"],
    "apiextensions.k8s.io/v1": ["CustomResourceDefinition"],
    "bug.example/v1": ["Gadget"],
}
VERBS = ["get", "list", "watch", "create", "patch", "delete"]


class Response:
    def __init__(self, status, body):
        self.status, self.data, self.headers = status, json.dumps(body).encode(), Headers()


class Headers(dict):
    def getlist(self, _name):
        return []


def fields_of(value):
    """Return the field set of a manager that applied ``value`` where nothing was."""
    return {f"f:{key}": fields_of(below) for key, below in value.items()} if isinstance(value, dict) else {}


class ApiServer(Cluster):
    """``refuses`` says of a manifest, and whether it is a dry run, why it is refused; empty when it is not."""

    def __init__(self, refuses=lambda _manifest, _dry_run: ""):
        super().__init__(ClusterConnection("http://127.0.0.1:1", "a test"), retry_window=RetryWindow(0.0))
        self.refuses, self.objects, self.written = refuses, {}, []
        self._numbers = itertools.count(1)
        self.put("/api/v1/namespaces/home", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "home"}})

    def put(self, path, manifest):
        metadata = {**manifest["metadata"], "uid": str(next(self._numbers)), "resourceVersion": "1",
                    "creationTimestamp": "2026-01-01T00:00:00Z"}  # fmt: skip
        fields = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}
        metadata["managedFields"] = [
            {
                "manager": FIELD_MANAGER,
                "operation": "Apply",
                "fieldsV1": fields_of(fields),
                "time": "2026-01-01T00:00:00Z",
            }
        ]
        self.objects[path] = {**manifest, "metadata": metadata}
        return self.objects[path]

    def _try(self, verb, url, data, headers, stream):
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        body = json.loads(data) if data else None
        return getattr(self, f"_{verb.lower()}")(path, query, copy.deepcopy(body))

    def _get(self, path, query, _body):
        group = path.removeprefix("/apis/").removeprefix("/api/")
        if group in KINDS:
            rows = [{"kind": kind, "name": plural(kind), "namespaced": kind not in CLUSTER_SCOPED, "verbs": VERBS}
                    for kind in KINDS[group]]  # fmt: skip
            return Response(200, {"resources": rows})
        versions = [{"groupVersion": item} for item in KINDS if item.partition("/")[0] == group]
        if versions:
            return Response(200, {"preferredVersion": versions[0], "versions": versions})
        if path in self.objects:
            return Response(200, self.objects[path])
        if not path.rpartition("/")[2].endswith("s"):
            return Response(404, {"reason": "NotFound", "message": "not found"})
        label = (query.get("labelSelector") or ["="])[0].partition("=")
        items = [item for at, item in self.objects.items() if at.startswith(f"{path}/")
                 and (not label[0] or (item["metadata"].get("labels") or {}).get(label[0]) == label[2])]  # fmt: skip
        return Response(200, {"kind": "List", "apiVersion": "v1", "items": items})

    def _post(self, path, query, body):
        if path.endswith("reviews"):
            return Response(201, {"status": {"userInfo": {"username": "me"}, "allowed": True}})
        return Response(201, self.put(f"{path}/{body['metadata']['name']}", body))

    def _patch(self, path, query, body):
        dry_run = "dryRun" in query
        refusal = self.refuses(body, dry_run)
        if refusal:
            return Response(422, {"reason": "Invalid", "message": refusal, "details": {"causes": [
                {"field": "data", "message": refusal}]}})  # fmt: skip
        status, before = 200 if path in self.objects else 201, dict(self.objects)
        answer = self.put(path, body)
        if dry_run:
            self.objects = before
        else:
            self.written.append(path)
        return Response(status, answer)

    def _put(self, path, query, body):
        return Response(200, self.put(path, body))

    def _delete(self, path, query, body):
        self.objects.pop(path, None)
        return Response(200, {})


def plural(kind):
    return "networkpolicies" if kind == "NetworkPolicy" else f"{kind.lower()}s"


def quoting(manifest):
    """The words of a webhook that quotes what it refuses, in every way it can."""
    texts = [json.dumps(manifest), repr(manifest)]
    for value in (manifest.get("data") or {}).values() if isinstance(manifest.get("data"), dict) else ():
        plain = base64.b64decode(value).decode(errors="replace") if manifest["kind"] == "Secret" else str(value)
        texts += [value, plain, json.dumps(plain), *plain.splitlines()]
    return "denied: " + ", ".join(str(item) for item in texts)
