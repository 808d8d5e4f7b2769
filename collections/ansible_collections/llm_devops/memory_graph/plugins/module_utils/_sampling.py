# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Which new objects need no dry run of their own, because the one of an equivalent object proves them.

It does where nothing but the object itself decides: the object certainly does not exist; the release may write every
object of the kind in that namespace, not only some by name; and no admission webhook or policy looks at the kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ._cluster import Cluster
from ._discovery import Resource, by_name
from ._equivalence import canonical_form
from ._errors import ApiError, ClusterError
from ._json import mappings, strings
from ._manifest import Object, Ref
from ._parallel import in_parallel
from ._step import Step

MIN_SPARED = 8
"""Dry runs of one kind in one namespace that must be spared: what has to be asked instead costs about four."""
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Collection = tuple[Resource, str]


def equivalents(new: Iterable[tuple[Ref, Object, Resource]]) -> dict[Collection, list[list[Ref]]]:
    """Equivalent objects together, the first of each stands for the others; collections with too few are left out."""
    classes: dict[Collection, dict[bytes, list[Ref]]] = defaultdict(lambda: defaultdict(list))
    for identity, manifest, resource in new:
        form = canonical_form(manifest) if resource.namespaced else None
        if form:
            classes[resource, identity.namespace][form].append(identity)
    several = {place: [refs for refs in forms.values() if len(refs) > 1] for place, forms in classes.items()}
    return {place: groups for place, groups in several.items() if sum(len(refs) - 1 for refs in groups) >= MIN_SPARED}


def certain_groups(cluster: Cluster, new: Iterable[Step], parallelism: int) -> list[list[Step]]:
    """Steps of certainly new, equivalent objects, of which the first may stand for the others."""
    by_ref = {step.ref: step for step in new}
    groups = equivalents((step.ref, step.manifest, step.resource) for step in by_ref.values() if step.resource)
    conditions = Conditions(cluster)
    rules = conditions.admission_rules() if groups else None
    if rules is None:
        return []

    def certain(place: Collection) -> list[list[Step]]:
        resource, namespace = place
        if looked_at(rules, resource) or not conditions.writes_any_name(resource, namespace):
            return []
        existing = set[str]() if by_name(resource) else conditions.existing(resource, namespace)
        if existing is None:
            return []
        fresh = [[by_ref[one] for one in refs if one.name not in existing] for refs in groups[place]]
        return [group for group in fresh if group]

    return [group for found in in_parallel(certain, groups, parallelism) for group in found]


def not_proven(groups: Iterable[list[Step]]) -> list[Step]:
    """Steps to be asked about after all, because the first of their group was refused; the others are assumed."""
    remain = []
    for first, *others in groups:
        if first.error or first.note or first.after is None or first.live is not None:
            remain += others
            continue
        for step in others:
            step.assumed = True
            step.compare()
    return remain


class Conditions:
    """Whether one object may stand for others of its kind."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def writes_any_name(self, resource: Resource, namespace: str) -> bool:
        """Whether nobody restricts us to objects by their names, as RBAC's ``resourceNames`` do."""
        return all(self._allowed(resource, namespace, verb) for verb in ("create", "patch"))

    def _allowed(self, resource: Resource, namespace: str, verb: str) -> bool:
        asked = {"namespace": namespace, "group": resource.group, "resource": resource.plural, "verb": verb}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": asked}}  # fmt: skip
        try:
            answer = self._cluster.request("POST", _REVIEWS, body=body)
        except ClusterError:
            return False
        return (answer.get("status") or {}).get("allowed") is True

    def existing(self, resource: Resource, namespace: str) -> set[str] | None:
        """Names of all objects of a kind; None when they may not be listed, or are too many to."""
        try:
            return self._cluster.names(resource.collection(namespace))
        except ApiError:
            return None

    def admission_rules(self) -> list[Object] | None:
        """Rules by which webhooks and policies choose what they look at; None when they may not be read."""
        rules: list[Object] = []
        try:
            for plural in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
                for item in self._list(plural):
                    rules += [rule for hook in mappings(item, "webhooks") for rule in mappings(hook, "rules")]
            for plural in ("validatingadmissionpolicies", "mutatingadmissionpolicies"):
                for item in self._list(plural):
                    rules += mappings(item, "spec", "matchConstraints", "resourceRules")
        except ApiError:
            return None
        return rules

    def _list(self, plural: str) -> list[Object]:
        for version in ("v1", "v1beta1", "v1alpha1"):
            try:
                return list(self._cluster.list(f"{_ADMISSION.removesuffix('v1')}{version}/{plural}"))
            except ApiError as error:
                if error.status != 404:
                    raise
        return []


def looked_at(rules: Iterable[Object], resource: Resource) -> bool:
    """Whether a rule of admission names the kind; its selectors are not weighed. Pure."""
    return any(
        _names(rule, "operations", "CREATE") and _names(rule, "apiGroups", resource.group)
        and any(name in ("*", "*/*", resource.plural, f"{resource.plural}/*") for name in strings(rule, "resources"))
        for rule in rules
    )  # fmt: skip


def _names(rule: Any, key: str, value: str) -> bool:
    return bool({"*", value} & set(strings(rule, key)))
