# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Sampling of dry runs: new objects that need none, because the one of an equivalent object proves them.

It does where nothing but the object itself decides: the object certainly does not exist; the release may write every
object of the kind in that namespace, not only some by name; and no admission webhook or policy looks at the kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any

from .._errors import ApiError, ClusterError
from .._json import mappings, strings
from ..cluster._cluster import Cluster, in_parallel
from ..cluster._discovery import Resource, by_name
from ..objects._manifest import Object, Ref
from ._equivalence import canonical_form
from ._step import Step

MIN_SAVED_DRY_RUNS = 8
"""Dry runs of one kind in one namespace that sampling must save: the reads that it needs cost about four."""
_ADMISSION = "/apis/admissionregistration.k8s.io/"
RULES_AT = {
    "validatingwebhookconfigurations": ("v1",),
    "mutatingwebhookconfigurations": ("v1",),
    "validatingadmissionpolicies": ("v1", "v1beta1"),
    "mutatingadmissionpolicies": ("v1", "v1beta1", "v1alpha1"),
}
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Collection = tuple[Resource, str]


def equivalents(new: Iterable[tuple[Ref, Object, Resource]]) -> dict[Collection, list[list[Ref]]]:
    """Return groups of equivalent objects, whose first stands for the others; collections with too few are left out."""
    classes: dict[Collection, dict[bytes, list[Ref]]] = defaultdict(lambda: defaultdict(list))
    for identity, manifest, resource in new:
        form = canonical_form(manifest) if resource.namespaced else None
        if form:
            classes[resource, identity.namespace][form].append(identity)
    several = {collection: [refs for refs in forms.values() if len(refs) > 1] for collection, forms in classes.items()}
    return {
        collection: groups
        for collection, groups in several.items()
        if sum(len(refs) - 1 for refs in groups) >= MIN_SAVED_DRY_RUNS
    }


def certain_groups(cluster: Cluster, new: Iterable[Step], parallelism: int) -> list[list[Step]]:
    """Return groups of steps of certainly new, equivalent objects, whose first may stand for the others."""
    by_ref = {step.ref: step for step in new}
    groups = equivalents((step.ref, step.manifest, step.resource) for step in by_ref.values() if step.resource)
    if not groups:
        return []
    facts = AdmissionFacts(cluster)
    questions: list[Callable[[], Any]] = [*(partial(facts.admission_rules, plural) for plural in RULES_AT)]
    for resource, namespace in groups:
        questions += [partial(facts.may, resource, namespace, verb) for verb in ("create", "patch")]
        questions.append(partial(facts.existing, resource, namespace))
    answers = iter(in_parallel(lambda question: question(), questions, parallelism))
    rules = [next(answers) for _plural in RULES_AT]
    result = []
    for (resource, _namespace), equivalent in groups.items():
        create, patch, existing = next(answers), next(answers), next(answers)
        unwatched = None not in rules and not has_admission(chain.from_iterable(rules), resource)
        if create and patch and unwatched and existing is not None:
            fresh = [[by_ref[identity] for identity in refs if identity.name not in existing] for refs in equivalent]
            result += [group for group in fresh if group]
    return result


def not_proven(groups: Iterable[list[Step]]) -> list[Step]:
    """Return the steps that need a dry run, because the first of their group was refused; assume the others."""
    unproven = []
    for first, *others in groups:
        if first.error or first.remark or first.after is None or first.live is not None:
            unproven += others
            continue
        for step in others:
            step.assumed = True
            step.compare()
    return unproven


class AdmissionFacts:
    """Checks whether one dry run may represent equivalent objects."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def may(self, resource: Resource, namespace: str, verb: str) -> bool:
        """Whether a verb is allowed for any name, and not only for RBAC's ``resourceNames``."""
        attributes = {"namespace": namespace, "group": resource.group, "resource": resource.plural, "verb": verb}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes}}  # fmt: skip
        try:
            answer = self._cluster.request("POST", _REVIEWS, body=body)
        except ClusterError:
            return False
        return (answer.get("status") or {}).get("allowed") is True

    def existing(self, resource: Resource, namespace: str) -> set[str] | None:
        """Return the names of all objects of a kind; None when they may not be listed, or are too many.

        Kinds that a plan reads by name need no list.
        """
        if by_name(resource):
            return set()
        try:
            return self._cluster.names(resource.collection(namespace))
        except ApiError:
            return None

    def admission_rules(self, plural: str) -> list[Object] | None:
        """Return the rules by which webhooks or policies choose objects; None when they may not be read."""
        try:
            for version in RULES_AT[plural]:
                configurations = self._list(f"{_ADMISSION}{version}/{plural}")
                if configurations is not None:
                    return [rule for configuration in configurations for rule in _rules(configuration)]
        except ApiError:
            return None
        return []

    def _list(self, path: str) -> list[Object] | None:
        """Return the objects of a path, None where the API server does not serve the version."""
        try:
            return list(self._cluster.list(path))
        except ApiError as error:
            if error.status == 404:
                return None
            raise


def _rules(configuration: Object) -> list[Object]:
    of_hooks = [rule for hook in mappings(configuration, "webhooks") for rule in mappings(hook, "rules")]
    return of_hooks + mappings(configuration, "spec", "matchConstraints", "resourceRules")


def has_admission(rules: Iterable[Object], resource: Resource) -> bool:
    """Whether a rule of admission names the kind; its selectors are not weighed. Pure."""
    return any(
        _names(rule, "operations", "CREATE") and _names(rule, "apiGroups", resource.group)
        and any(name in ("*", "*/*", resource.plural, f"{resource.plural}/*") for name in strings(rule, "resources"))
        for rule in rules
    )  # fmt: skip


def _names(rule: Any, key: str, value: str) -> bool:
    return bool({"*", value} & set(strings(rule, key)))
