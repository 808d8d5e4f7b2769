# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Dry runs of objects whose namespace does not exist yet, in the namespace ``default``, which always does.

The API server does a dry run only in a namespace that exists, and a release may not make one before it knows that its
objects are right. It answers about an object's content alike in any namespace, so another one serves, and only that
part of the answer counts: rights, quotas, conflicts and used names are those of ``default``. Webhooks and policies
would judge, or change, an object meant for elsewhere: a kind that has any gets no dry run, nor has any kind where their
rules may not be read. Neither have Pods, which the admission of a namespace completes, and Events, which name their
namespace twice. Of Secrets the API server sees keys and sizes, and no value.

This is done instead of checks of our own because the API server's are complete, and right for its version.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from itertools import chain

from .._errors import ApiError
from .._json import mapping
from ..cluster._cluster import Cluster, in_parallel
from ..cluster._error_messages import is_about_manifest
from ..objects._manifest import Object
from ._sampling import RULES_AT, AdmissionFacts, equivalents, has_admission
from ._step import Step

STAND_IN = "default"
EXCLUDED_KINDS = frozenset({"Pod", "Event"})


def validate(cluster: Cluster, steps: Iterable[Step], absent: set[str], parallelism: int) -> None:
    """Set an error on each step of an absent namespace whose content the API server refuses.

    Steps that it accepts lose their remark of not being validated. Of equivalent ones the first gets a dry run.
    """
    new = [
        step for step in steps
        if step.ref.namespace in absent and step.resource and not step.error and step.ref.kind not in EXCLUDED_KINDS
    ]  # fmt: skip
    if not new:
        return
    rules = in_parallel(AdmissionFacts(cluster).admission_rules, RULES_AT, parallelism)
    if None in rules:
        return
    all_rules = [rule for part in rules for rule in part or ()]
    by_ref = {step.ref: step for step in new if step.resource and not has_admission(all_rules, step.resource)}
    equivalent = equivalents((step.ref, step.manifest, step.resource) for step in by_ref.values() if step.resource)
    groups = [[by_ref[identity] for identity in refs] for refs in chain.from_iterable(equivalent.values())]
    others = {step.ref for _first, *rest in groups for step in rest}

    def dry_run(part: Iterable[Step]) -> None:
        in_parallel(lambda step: _dry_run(cluster, step), part, parallelism)

    dry_run(step for step in by_ref.values() if step.ref not in others)
    dry_run(chain.from_iterable(rest for first, *rest in groups if first.error))
    for first, *rest in groups:
        for step in rest if first.assumed else []:
            _accept(step)


def _dry_run(cluster: Cluster, step: Step) -> None:
    if step.resource is None:
        return
    manifest = in_stand_in(step.manifest)
    path = step.resource.path(STAND_IN, step.ref.name)
    try:
        _answer, created = cluster.apply(path, manifest, dry_run=True)
    except ApiError as error:
        if is_about_content(error) and not _may_exist(cluster, path):  # else it would be an update of another object
            step.error = error
        return
    if created:
        _accept(step)


def _may_exist(cluster: Cluster, path: str) -> bool:
    """Whether an object may have that path; also True where it may not be read: a deployer needs no right there."""
    try:
        return cluster.find(path) is not None
    except ApiError as error:
        if error.status == 403:
            return True
        raise


def in_stand_in(manifest: Object) -> Object:
    """Return the manifest as another namespace may see it. Pure.

    Each value of a Secret becomes as much of nothing, an empty JSON object, as credentials of registries must be one.
    """
    copy = {**manifest, "metadata": {**manifest["metadata"], "namespace": STAND_IN}}
    if manifest["kind"] == "Secret":
        copy["data"] = {
            key: base64.b64encode(b"{}".ljust(len(base64.b64decode(value))) if value else b"").decode()
            for key, value in mapping(manifest, "data").items()
        }
    return copy


def _accept(step: Step) -> None:
    """Mark a step as assumed: the API server's answer to it is known when it is written."""
    step.remark, step.assumed = "", True


def is_about_content(error: ApiError) -> bool:
    """Whether a refusal is about fields of the object, and so the same in every namespace. Pure."""
    if error.status == 422 and error.reason == "Invalid":
        causes = [cause for cause in error.causes if str(cause.get("reason", "")).startswith("FieldValue")]
        return any(cause.get("field") != "metadata.namespace" for cause in causes)
    return error.status in (400, 500) and is_about_manifest(error)
