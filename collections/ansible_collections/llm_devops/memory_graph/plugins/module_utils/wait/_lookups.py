# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What no watch shows and a wait has to ask for, each thing once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .._errors import ApiError, ClusterError
from .._json import text
from ..cluster._cluster import Cluster
from ..objects._manifest import Object
from ._pods import claims_of, pod_specs

# What cluster-autoscaler and Karpenter say of a pod for which a node is on its way.
_NODE_COMES = frozenset({"TriggeredScaleUp", "Nominated"})
AGAIN_SECONDS = 2.0
"""How long it counts that something is not there."""


class Lookups:
    """Cached answers of the API server."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster, self._clock = cluster, clock
        self._volumes: dict[str, tuple[bool, float]] = {}
        self._binding: dict[str, str] = {}
        self._node_comes: dict[str, bool] = {}

    def has_no_volume(self, claim: Object) -> bool:
        """Whether the volume that a claim asks for by name is not there; asked again now and then until it is."""
        name = text(claim, "spec", "volumeName")
        absent, until = self._volumes.get(name, (False, 0.0))
        if not name or self._clock() < until:
            return absent
        try:
            absent = self._cluster.find(f"/api/v1/persistentvolumes/{name}") is None
        except ClusterError:  # a deployer bound to one namespace may not read volumes
            absent = False
        self._volumes[name] = absent, self._clock() + AGAIN_SECONDS if absent else float("inf")
        return absent

    def waits_for_first_consumer(self, claim: Object, release: Iterable[Object]) -> bool:
        """Whether no pod of the release will mount the claim, and its class binds it only then: it is as ready as it
        can get. A volume that is asked for by name is bound at once."""
        if text(claim, "spec", "volumeName"):
            return False
        name, namespace = text(claim, "metadata", "name"), text(claim, "metadata", "namespace")
        for live in release:
            if text(live, "metadata", "namespace") == namespace and any(
                name in claims_of(spec) for spec in pod_specs(live)
            ):
                return False
        storage_class = text(claim, "spec", "storageClassName")
        if storage_class and storage_class not in self._binding:
            try:
                found = self._cluster.find(f"/apis/storage.k8s.io/v1/storageclasses/{storage_class}")
            except ApiError:  # a deployer bound to one namespace may not read classes: then the claim is waited for
                found = None
            self._binding[storage_class] = text(found, "volumeBindingMode")
        return self._binding.get(storage_class) == "WaitForFirstConsumer"

    def node_comes(self, pod: Object) -> bool:
        """Whether an autoscaler of nodes has said that one is coming for the pod."""
        uid = text(pod, "metadata", "uid")
        if uid not in self._node_comes:
            path = f"/api/v1/namespaces/{text(pod, 'metadata', 'namespace')}/events"
            try:
                told = list(self._cluster.list(path, fields=f"involvedObject.uid={uid}"))
            except ClusterError:  # without the right to read events nobody can have told us
                told = []
            self._node_comes[uid] = any(text(event, "reason") in _NODE_COMES for event in told)
        return self._node_comes[uid]
