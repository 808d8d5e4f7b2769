# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Cached reads of what no watch shows: volumes, storage classes, events of node autoscalers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .._errors import ApiError, ClusterError
from .._json import text
from ..cluster._cluster import Cluster
from ..kinds._claims import binds_at_first_consumer
from ..objects._manifest import Object
from ._pods import claims_of, pod_specs

# Reasons of events by which cluster-autoscaler and Karpenter report that a node is on its way for a pod.
_NODE_REQUESTED = frozenset({"TriggeredScaleUp", "Nominated"})
ABSENCE_TTL_S = 2.0
"""How long an object counts as absent before it is read again."""


class Lookups:
    """Cached answers of the API server."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster, self._clock = cluster, clock
        self._volumes: dict[str, tuple[bool, float]] = {}
        self._binds_at_first_consumer: dict[str, bool] = {}
        self._node_requested: dict[str, bool] = {}

    def has_no_volume(self, claim: Object) -> bool:
        """Whether the volume that a claim asks for by name does not exist; read again now and then until it does."""
        name = text(claim, "spec", "volumeName")
        absent, until = self._volumes.get(name, (False, 0.0))
        if not name or self._clock() < until:
            return absent
        try:
            absent = self._cluster.find(f"/api/v1/persistentvolumes/{name}") is None
        except ClusterError:  # a deployer bound to one namespace may not read volumes
            absent = False
        self._volumes[name] = absent, self._clock() + ABSENCE_TTL_S if absent else float("inf")
        return absent

    def waits_for_first_consumer(self, claim: Object, release: Iterable[Object]) -> bool:
        """Whether the claim gets its volume only when a pod mounts it, and no pod of the release does.

        A volume that is asked for by name is bound at once.
        """
        if text(claim, "spec", "volumeName"):
            return False
        name, namespace = text(claim, "metadata", "name"), text(claim, "metadata", "namespace")
        for live in release:
            if text(live, "metadata", "namespace") == namespace and any(
                name in claims_of(spec) for spec in pod_specs(live)
            ):
                return False
        storage_class = text(claim, "spec", "storageClassName")
        if storage_class and storage_class not in self._binds_at_first_consumer:
            try:
                class_object = self._cluster.find(f"/apis/storage.k8s.io/v1/storageclasses/{storage_class}")
            except ApiError:  # a deployer bound to one namespace may not read classes: then the claim is waited for
                class_object = None
            self._binds_at_first_consumer[storage_class] = binds_at_first_consumer(class_object)
        return self._binds_at_first_consumer.get(storage_class, False)

    def node_requested(self, pod: Object) -> bool:
        """Whether an autoscaler of nodes has reported that one is coming for the pod."""
        uid = text(pod, "metadata", "uid")
        if uid not in self._node_requested:
            path = f"/api/v1/namespaces/{text(pod, 'metadata', 'namespace')}/events"
            try:
                events = list(self._cluster.list(path, fields=f"involvedObject.uid={uid}"))
            except ClusterError:  # without the right to read events there is no report
                events = []
            self._node_requested[uid] = any(text(event, "reason") in _NODE_REQUESTED for event in events)
        return self._node_requested[uid]
