# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Fields of a manifest that the API server or a controller writes, and a deployer must not send. Pure.

Manifests come from ``kubectl get -o yaml`` and from generators. To send what a controller owns would take it away from
the controller in one run, and be refused as its own in the next.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
METADATA = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink",
            "deletionTimestamp", "deletionGracePeriodSeconds")  # fmt: skip
ANNOTATIONS = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/selected-node",
})  # fmt: skip
_CA_INJECTORS = ("cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret",
                 "cert-manager.io/inject-apiserver-ca", "service.beta.openshift.io/inject-cabundle")  # fmt: skip
_OWN_GROUPS = frozenset({"", "apps", "autoscaling", "batch", "policy", "extensions"})


def strip(manifest: Object) -> None:
    """Take out of the manifest, in place, what is not the deployer's to say, and what is empty."""
    metadata = manifest["metadata"]
    for key in METADATA:
        metadata.pop(key, None)
    if isinstance(metadata.get("annotations"), dict):
        metadata["annotations"] = {key: value for key, value in metadata["annotations"].items()
                                   if key not in ANNOTATIONS}  # fmt: skip
    manifest.pop("status", None)
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    if _aggregated(manifest):
        manifest.pop("rules", None)
    if any(name in (metadata.get("annotations") or {}) for name in _CA_INJECTORS):
        _drop_ca_bundles(manifest)
    for key in list(manifest):
        if manifest[key] is None:
            del manifest[key]
        elif key == "metadata" or group in _OWN_GROUPS or group.endswith(".k8s.io"):
            manifest[key] = _without_nulls(manifest[key])


def overwritten(manifest: Object) -> str:
    """Return a sentence about a part of the manifest that a controller overwrites, and the way out; else empty."""
    if not (_aggregated(manifest) and manifest.get("rules")):
        return ""
    return (
        f"ClusterRole/{manifest['metadata']['name']}: its rules are not sent, since its aggregationRule has a"
        " controller write them — move them to a ClusterRole with a label that it selects, or leave them out"
    )


def _aggregated(manifest: Object) -> bool:
    """Whether a controller fills in the rules from the roles that match."""
    return bool(manifest["kind"] == "ClusterRole" and manifest.get("aggregationRule"))


def _without_nulls(value: Any) -> Any:
    """Empty is unset; the API server makes an empty text of a null in a mapping of texts.

    Not in custom resources of others, whose schema may give null a meaning (``nullable``).
    """
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _drop_ca_bundles(value: Any) -> None:
    """Drop placeholders that an injector replaces by its CA."""
    if isinstance(value, dict):
        value.pop("caBundle", None)
        for below in value.values():
            _drop_ca_bundles(below)
    elif isinstance(value, list):
        for item in value:
            _drop_ca_bundles(item)
