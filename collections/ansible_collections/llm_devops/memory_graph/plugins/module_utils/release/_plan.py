# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The plan of a run: every object is applied as a dry run, and the answer compared with the live object.

The same plan serves check mode, the diff, ``changed`` and the apply, which then sends only what differs: a second run
writes nothing, and a manifest the API server refuses is known before the first write. Of new objects that the API
server accepts all or none (:mod:`_equivalence`), one gets a dry run when the run is to write them.
"""

from __future__ import annotations

from typing import Any

from .._errors import ApiError, ClusterError
from .._json import at, mapping, text
from ..cluster._cluster import FIELD_MANAGER, Cluster, in_parallel
from ..cluster._discovery import Discovery, Resource, by_name
from ..objects import _fields, _ownership
from ..objects._manifest import PART_OF, Object, Ref, ref
from . import _sampling, _unserved
from ._history import ReleaseRecord
from ._step import Step, stamp, unknown_kind

BINDINGS = ("RoleBinding", "ClusterRoleBinding")


def plan(cluster: Cluster, discovery: Discovery, objects: list[Object], record: ReleaseRecord, *, parallelism: int,
         force: bool, absent_namespaces: set[str], seen: list[Object] | None = None,
         sample: bool = False) -> list[Step]:  # fmt: skip
    """Return steps for all objects, none of them written. Errors stay on their step, so that all are seen at once.

    Objects that were listed on the way are added to ``seen``, also those of no step.

    An object gets no dry run when it is sent as it was the last time and the fields we own in it have not moved since:
    the API server would only say so again. With ``sample`` neither does one that is certainly new where one that is
    equivalent to it was accepted.
    """
    applyset, stamps = record.id, {member.ref: member.stamp for member in record.members}
    steps = [
        Step(manifest, ref(manifest), discovery.find(manifest["apiVersion"], manifest["kind"])) for manifest in objects
    ]
    foreign = set[Ref]()
    live = _live(cluster, steps, applyset, parallelism, absent_namespaces, foreign)
    if seen is not None:
        seen.extend(live.values())
    served = {(group, kind): versions for group, kind, versions in _unserved.served_by(objects)}
    for step in steps:
        _drop_cluster_namespace(step)
        step.live = live.get(step.ref)
        if step.resource is None and not _defined_by(steps, step):
            step.error = unknown_kind(step, discovery.serving(step.ref.group, step.ref.kind))
        step.error = step.error or _unserved_version(served, step)
    _leave_replicas_to_autoscalers(steps)
    valid = [step for step in steps if not step.error]
    undecided = []
    for step in valid:
        if step.live and stamps.get(step.ref) == stamp(record, step.manifest, step.live):
            step.after, step.action = step.live, "unchanged"
        else:
            undecided.append(step)

    def dry_run(chosen: list[Step]) -> None:
        in_parallel(lambda step: _dry_run(cluster, step, applyset, force, absent_namespaces), chosen, parallelism)

    new = [step for step in undecided if not step.live and step.ref not in foreign]
    samplable = [step for step in new if step.ref.namespace not in absent_namespaces] if sample else []
    groups = _sampling.certain_groups(cluster, samplable, parallelism)
    represented = {step.ref for group in groups for step in group[1:]}
    dry_run([step for step in undecided if step.ref not in represented])
    dry_run(_sampling.not_proven(groups))
    return steps


def _leave_replicas_to_autoscalers(steps: list[Step]) -> None:
    """Send a workload that an autoscaler of this release scales with the replicas it has.

    To leave ``replicas`` out instead would hand the workload back with one replica, where no autoscaler owns the field
    yet (Kubernetes documentation, "Migrating Deployments and StatefulSets to horizontal autoscaling").
    """
    targets = set()
    for step in steps:
        if step.ref.kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = mapping(step.manifest, "spec", "scaleTargetRef")
            targets.add((text(target, "kind") or "Deployment", step.ref.namespace, text(target, "name")))
    for step in steps:
        spec, live = step.manifest.get("spec"), at(step.live, "spec", "replicas")
        scaled = (step.ref.kind, step.ref.namespace, step.ref.name) in targets
        if scaled and live is not None and isinstance(spec, dict) and "replicas" in spec:
            step.manifest = {**step.manifest, "spec": {**spec, "replicas": live}}


def _defined_by(steps: list[Step], step: Step) -> bool:
    """Whether a CustomResourceDefinition of this very release defines the step's kind."""
    specs = [mapping(other.manifest, "spec") for other in steps if other.ref.kind == "CustomResourceDefinition"]
    return any(spec.get("group") == step.ref.group and at(spec, "names", "kind") == step.ref.kind for spec in specs)


def _unserved_version(served: dict[tuple[str, str], frozenset[str]], step: Step) -> ClusterError | None:
    """Return the refusal of an object in a version that a CustomResourceDefinition of this release stops serving."""
    versions = served.get((step.ref.group, step.ref.kind))
    version = step.manifest["apiVersion"].rpartition("/")[2]
    if versions is None or version in versions:
        return None
    return ClusterError(
        f"{step.ref} is of {step.manifest['apiVersion']}, which its CustomResourceDefinition in this release does not"
        " serve", f"write it in {', '.join(sorted(versions)) or 'a version that is served'}, or serve that version",
    )  # fmt: skip


def _drop_cluster_namespace(step: Step) -> None:
    if step.resource and not step.resource.namespaced and step.ref.namespace:
        step.manifest["metadata"].pop("namespace", None)
        step.ref = ref(step.manifest)


def _live(cluster: Cluster, steps: list[Step], applyset: str, parallelism: int, absent: set[str],
          foreign: set[Ref]) -> dict[Ref, Object]:  # fmt: skip
    """Return our members that exist, by one list per kind and namespace instead of one read per object.

    Secrets and cluster-scoped objects are read by name: nobody needs the right to list them all for a release. Those
    that exist and are not ours are added to ``foreign``.
    """
    readable = [step for step in steps if step.resource and step.ref.namespace not in absent]
    collections = {
        (step.resource, step.ref.namespace, step.ref.name if by_name(step.resource) else "")
        for step in readable if step.resource
    }  # fmt: skip

    def members(collection: tuple[Resource, str, str]) -> list[Object]:
        resource, namespace, name = collection
        if name:
            obj = cluster.find(resource.path(namespace, name))
            pages = [obj] if obj and (obj["metadata"].get("labels") or {}).get(PART_OF) == applyset else []
            if obj and not pages:
                foreign.add(Ref(resource.group, resource.kind, namespace, name))
        else:
            pages = list(cluster.list(resource.collection(namespace or None), selector=f"{PART_OF}={applyset}"))
        return [{**item, "apiVersion": resource.api_version, "kind": resource.kind} for item in pages]

    ordered = sorted(collections, key=lambda collection: (collection[0].plural, *collection[1:]))
    pages = in_parallel(members, ordered, parallelism)
    return {ref(item): item for items in pages for item in items}


def _dry_run(cluster: Cluster, step: Step, applyset: str, force: bool, absent: set[str]) -> None:
    if step.resource is None:
        step.remark = f"not validated: the cluster does not serve {step.manifest['apiVersion']} {step.ref.kind} yet"
    elif step.ref.namespace in absent:
        step.remark = f"not validated: namespace {step.ref.namespace} does not exist yet"
    else:
        try:
            _dry_run_apply(cluster, step, applyset, force)
        except ClusterError as error:
            _refused(step, error)
    step.compare()


def _dry_run_apply(cluster: Cluster, step: Step, applyset: str, force: bool) -> None:
    try:
        after, created = cluster.apply(step.path, step.manifest, dry_run=True, force=force)
    except ApiError as error:
        step.live = step.live or cluster.find(step.path)
        if step.live is None:
            raise
        _check_ownership(cluster, step, applyset, force)
        _dry_run_without_defaults(cluster, step, error)
        return
    if not created and step.live is None:  # there, but not ours until now
        step.live = cluster.find(step.path)
    _check_ownership(cluster, step, applyset, force)
    step.after = after
    if step.live and step.inherits:
        removed = _ownership.goes(step.live, after, step.inherits)
        try:
            owned = _fields.owned(after, FIELD_MANAGER)
            step.after = _ownership.preview(cluster, step.path, step.manifest, removed, owned)
        except ApiError:  # a kind without strategic merge, or one that the merge cannot say: without the defaults then
            step.after = _fields.without(after, removed)


def _check_ownership(cluster: Cluster, step: Step, applyset: str, force: bool) -> None:
    """Check that the object may be ours, and set the fields that come to us with it.

    :raises ClusterError: when it is another's.
    """
    other = _ownership.release_of(cluster, step.live, applyset)
    error = _ownership.refusal(step.ref, step.live, applyset, force=force, other=other)
    if error:
        raise error
    step.inherits = _ownership.inherited(step.live, applyset, force=force)


def _dry_run_without_defaults(cluster: Cluster, step: Step, error: ApiError) -> None:
    """Repeat the dry run without defaults of the server that the new values forbid and nobody owns.

    :raises ApiError: the first refusal when there are no such defaults, else the refusal without them.
    """
    live = step.live or {}
    paths = _ownership.forbidden_defaults(error, step.manifest, live, step.inherits) if error.status == 422 else []
    if not paths:
        raise error
    step.unowned = _ownership.field_set(live, paths)
    owned = _fields.owned(live, FIELD_MANAGER)
    step.after = _ownership.preview(cluster, step.path, step.manifest, step.unowned, owned)


def _refused(step: Step, error: ClusterError) -> None:
    status = error.status if isinstance(error, ApiError) else 0
    if status == 404 and step.live is None:  # it needs what an earlier wave of this very release creates
        step.remark = f"not validated: {error.message}"
    elif status == 400 and "dry run" in error.message.lower():  # a webhook that declares side effects
        step.remark = f"not validated: {error.message}"
        step.after = step.live
    else:
        step.error = error


def apply(cluster: Cluster, discovery: Discovery, steps: list[Step], *, parallelism: int, force: bool) -> None:
    """Write the steps of one wave that differ; errors stay on their step."""

    def write(step: Step) -> None:
        try:
            step.resource = step.resource or discovery.find(step.manifest["apiVersion"], step.ref.kind)
            if step.resource is None:
                raise unknown_kind(step)
            _drop_cluster_namespace(step)
            if step.inherits or step.unowned:
                _ownership.take(cluster, step.path, step.inherits, step.unowned)
            step.after, created = cluster.apply(step.path, step.manifest, force=force)
        except ClusterError as error:
            step.error = error
            return
        unvalidated, step.remark = step.remark, ""
        if unvalidated or step.assumed:
            step.live = None if created else step.live
            step.compare()
            step.action = "created" if created else step.action

    due = [step for step in steps if step.due]
    # a binding is refused until its Role is there, to everybody but administrators (RBAC's escalation prevention)
    bindings = [step for step in due if step.ref.kind in BINDINGS]
    in_parallel(write, [step for step in due if step.ref.kind not in BINDINGS], parallelism)
    in_parallel(write, bindings, parallelism)


def failure(step: Step) -> dict[str, Any]:
    """Return the step's error as a result entry."""
    error = step.error or ClusterError("no reason given")
    return {"kind": step.ref.kind, "namespace": step.ref.namespace, "name": step.ref.name,
            "message": error.message, "way_out": error.way_out}  # fmt: skip
