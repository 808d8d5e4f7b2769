# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Dry runs of objects whose namespace does not exist yet, in the namespace ``default``, which always does.

The API server does a dry run only in a namespace that exists, and a release may not make one before it knows that its
objects are right. What it says of an object's content it says in any namespace, so it is asked in another, and only
that much of the answer counts. Rights, quotas, conflicts and names that are taken are those of ``default`` and say
nothing. Webhooks and policies would judge, or change, what is meant for elsewhere: a kind that any of them looks at is
not asked about, nor is any where their rules may not be read. Neither are Pods, which the admission of a namespace
completes, and Events, which name their namespace twice. Of Secrets the API server sees keys and sizes, and no value.

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
from ._sampling import RULES_AT, Conditions, equivalents, looked_at
from ._step import Step

STAND_IN = "default"
NOT_ASKED = frozenset({"Pod", "Event"})


def validate(cluster: Cluster, steps: Iterable[Step], absent: set[str], parallelism: int) -> None:
    """Set an error on each step of an absent namespace whose content the API server refuses.

    Steps that it accepts lose their note of not being validated. Of equivalent ones the first is asked about.
    """
    new = [
        step for step in steps
        if step.ref.namespace in absent and step.resource and not step.error and step.ref.kind not in NOT_ASKED
    ]  # fmt: skip
    if not new:
        return
    rules = in_parallel(Conditions(cluster).admission_rules, RULES_AT, parallelism)
    if None in rules:
        return
    every = [rule for some in rules for rule in some or ()]
    by_ref = {step.ref: step for step in new if step.resource and not looked_at(every, step.resource)}
    alike = equivalents((step.ref, step.manifest, step.resource) for step in by_ref.values() if step.resource)
    groups = [[by_ref[one] for one in refs] for refs in chain.from_iterable(alike.values())]
    others = {step.ref for _first, *rest in groups for step in rest}

    def ask(some: Iterable[Step]) -> None:
        in_parallel(lambda step: _ask(cluster, step), some, parallelism)

    ask(step for step in by_ref.values() if step.ref not in others)
    ask(chain.from_iterable(rest for first, *rest in groups if first.error))
    for first, *rest in groups:
        for step in rest if first.assumed else []:
            _accept(step)


def _ask(cluster: Cluster, step: Step) -> None:
    if step.resource is None:
        return
    manifest = elsewhere(step.manifest)
    path = step.resource.path(STAND_IN, step.ref.name)
    try:
        _answer, created = cluster.apply(path, manifest, dry_run=True)
    except ApiError as error:
        if about_content(error) and not _may_be_there(cluster, path):  # else it would be an update of another object
            step.error = error
        return
    if created:
        _accept(step)


def _may_be_there(cluster: Cluster, path: str) -> bool:
    """Whether an object has that path, also where that may not be read: a deployer needs no right to read there."""
    try:
        return cluster.find(path) is not None
    except ApiError as error:
        if error.status == 403:
            return True
        raise


def elsewhere(manifest: Object) -> Object:
    """The manifest as another namespace may see it. Pure.

    Each value of a Secret becomes as much of nothing, an empty JSON object, as credentials of registries must be one.
    """
    moved = {**manifest, "metadata": {**manifest["metadata"], "namespace": STAND_IN}}
    if manifest["kind"] == "Secret":
        moved["data"] = {
            key: base64.b64encode(b"{}".ljust(len(base64.b64decode(value))) if value else b"").decode()
            for key, value in mapping(manifest, "data").items()
        }
    return moved


def _accept(step: Step) -> None:
    """What the API server makes of it is known when it is written, as of every step that is assumed."""
    step.note, step.assumed = "", True


def about_content(error: ApiError) -> bool:
    """Whether a refusal is about fields of the object, and so the same in every namespace. Pure."""
    if error.status == 422 and error.reason == "Invalid":
        causes = [cause for cause in error.causes if str(cause.get("reason", "")).startswith("FieldValue")]
        return any(cause.get("field") != "metadata.namespace" for cause in causes)
    return error.status in (400, 500) and is_about_manifest(error)
