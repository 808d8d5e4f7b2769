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
from ._discovery import Resource
from ._equivalence import canonical_form
from ._errors import ApiError, ClusterError
from ._json import mappings, strings
from ._manifest import Object, Ref

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
