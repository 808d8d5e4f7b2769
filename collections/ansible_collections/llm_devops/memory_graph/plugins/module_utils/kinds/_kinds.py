# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The table of kinds: in which wave one is applied, when it is ready, and what is said when it is not. Pure.

A kind without a row comes in the last wave, goes by its conditions, and is ready when it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._json import text
from ._api_objects import api_service, api_service_problem, custom_resource_definition, namespace
from ._autoscaling import autoscaler, disruption_budget, scale_problem
from ._claims import claim, claim_detail, claim_problem
from ._custom import by_conditions, by_required_conditions
from ._problem import WaitProblem, last_event, late, no_detail, own_failure
from ._services import ingress, service, service_late
from ._verdict import Object, Verdict, deleting, group_of
from ._workloads import cron_job, daemon_set, deployment, finished, job, pod, replica_set, stateful_set

FIRST, SECOND, WORKLOADS, LAST = range(4)
"""Waves: namespaces and new kinds; what workloads mount or run as; workloads; what points at them."""


@dataclass(frozen=True)
class Kind:
    """The row of one kind.

    ``wave`` is its turn when a release is applied, ``stage`` the word for it in a progress line (else its name).
    ``verdict`` says whether an object is ready, ``has_pods`` whether its pods count, too. ``problem`` may end the wait:
    it comes from the object, its verdict and its events. ``detail`` is what a progress line adds from events.
    ``late`` gives why and the way out when the time ran out, from the kind, the reason and the command to describe it.
    """

    wave: int = LAST
    stage: str = ""
    verdict: Callable[[Object], Verdict] = by_conditions
    has_pods: bool = False
    problem: Callable[[Object, Verdict, Sequence[Object]], WaitProblem | None] = own_failure
    detail: Callable[[Sequence[Object]], str] = no_detail
    late: Callable[[str, str, str], tuple[str, str]] = late


# fmt: off
KINDS: dict[tuple[str, str], Kind] = {
    ("", "Namespace"): Kind(FIRST, "namespace", namespace),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Kind(FIRST, "namespace", custom_resource_definition),

    ("", "ServiceAccount"): Kind(SECOND, "rbac"),
    ("rbac.authorization.k8s.io", "Role"): Kind(SECOND, "rbac"),
    ("rbac.authorization.k8s.io", "RoleBinding"): Kind(SECOND, "rbac"),
    ("rbac.authorization.k8s.io", "ClusterRole"): Kind(SECOND, "rbac"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): Kind(SECOND, "rbac"),
    ("", "ConfigMap"): Kind(SECOND, "config"),
    ("", "Secret"): Kind(SECOND, "config"),
    ("external-secrets.io", "ExternalSecret"): Kind(SECOND, "config", by_required_conditions),
    ("external-secrets.io", "SecretStore"): Kind(SECOND, verdict=by_required_conditions),
    ("external-secrets.io", "ClusterSecretStore"): Kind(SECOND, verdict=by_required_conditions),
    ("bitnami.com", "SealedSecret"): Kind(SECOND, "config"),
    ("cert-manager.io", "Issuer"): Kind(SECOND, verdict=by_required_conditions),
    ("cert-manager.io", "ClusterIssuer"): Kind(SECOND, verdict=by_required_conditions),
    ("cert-manager.io", "Certificate"): Kind(SECOND, verdict=by_required_conditions),
    ("", "PersistentVolume"): Kind(SECOND, "storage"),
    ("", "PersistentVolumeClaim"): Kind(SECOND, "storage", claim, problem=claim_problem, detail=claim_detail),
    ("storage.k8s.io", "StorageClass"): Kind(SECOND, "storage"),
    ("", "ResourceQuota"): Kind(SECOND, "quota"),
    ("", "LimitRange"): Kind(SECOND, "quota"),
    ("scheduling.k8s.io", "PriorityClass"): Kind(SECOND),

    ("apps", "Deployment"): Kind(WORKLOADS, "workload", deployment, has_pods=True),
    ("apps", "StatefulSet"): Kind(WORKLOADS, "workload", stateful_set, has_pods=True),
    ("apps", "DaemonSet"): Kind(WORKLOADS, "workload", daemon_set, has_pods=True),
    ("apps", "ReplicaSet"): Kind(WORKLOADS, "workload", replica_set, has_pods=True),
    ("", "Pod"): Kind(WORKLOADS, "workload", pod, has_pods=True),
    ("batch", "Job"): Kind(WORKLOADS, "workload", job, has_pods=True),
    ("batch", "CronJob"): Kind(WORKLOADS, "workload", cron_job),

    ("", "ReplicationController"): Kind(verdict=replica_set, has_pods=True),
    ("", "Service"): Kind(LAST, "network", service, detail=last_event, late=service_late),
    ("networking.k8s.io", "Ingress"): Kind(LAST, "network", ingress),
    ("networking.k8s.io", "NetworkPolicy"): Kind(LAST, "network"),
    ("gateway.networking.k8s.io", "GRPCRoute"): Kind(LAST, "network"),
    ("gateway.networking.k8s.io", "HTTPRoute"): Kind(LAST, "network"),
    ("autoscaling", "HorizontalPodAutoscaler"): Kind(LAST, "scaling", autoscaler, problem=scale_problem),
    ("policy", "PodDisruptionBudget"): Kind(LAST, "scaling", disruption_budget),
    ("monitoring.coreos.com", "ServiceMonitor"): Kind(LAST, "monitoring"),
    ("monitoring.coreos.com", "PodMonitor"): Kind(LAST, "monitoring"),
    ("monitoring.coreos.com", "PrometheusRule"): Kind(LAST, "monitoring"),
    ("apiregistration.k8s.io", "APIService"): Kind(verdict=api_service, problem=api_service_problem),
    ("external-secrets.io", "ClusterExternalSecret"): Kind(verdict=by_required_conditions),
    ("kafka.strimzi.io", "Kafka"): Kind(verdict=by_required_conditions),
    ("kafka.strimzi.io", "KafkaTopic"): Kind(verdict=by_required_conditions),
    ("kafka.strimzi.io", "KafkaUser"): Kind(verdict=by_required_conditions),
}
# fmt: on
_DEFAULT = Kind()


def kind_of(obj: Mapping[str, Any]) -> Kind:
    return row(group_of(obj), text(obj, "kind"))


def row(group: str, name: str) -> Kind:
    return KINDS.get((group, name), _DEFAULT)


def judge(obj: Object) -> Verdict:
    if deleting(obj) and not finished(obj):
        return Verdict("progressing", "being deleted")
    return kind_of(obj).verdict(obj)


def is_workload(obj: Object) -> bool:
    """Whether the object is a pod, or runs pods that are awaited."""
    return kind_of(obj).has_pods
