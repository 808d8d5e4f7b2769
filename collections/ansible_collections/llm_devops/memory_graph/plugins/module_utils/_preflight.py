# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that would stop a release, found before the first write and told all at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from . import _demand
from ._cluster import Cluster
from ._discovery import Discovery
from ._errors import ApiError, ClusterError
from ._manifest import Object
from ._plan import in_parallel
from ._quantity import parse, show
from ._terminating import absent_namespaces

VERBS: tuple[str, ...] = ("get", "list", "watch", "create", "patch", "delete")
VERBS_ONCE = ("get", "create", "patch")


@dataclass
class Preflight:
    """Run :meth:`run`, then read ``problems``, ``notes`` and ``passed``; nothing is ever written."""

    cluster: Cluster
    namespace: str
    objects: list[Object]
    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    passed: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.discovery = Discovery(self.cluster)
        self.absent: set[str] = set()

    def problem(self, check: str, message: str, way_out: str) -> None:
        self.problems.append({"check": check, "message": message, "way_out": way_out})

    def note(self, check: str, message: str) -> None:
        self.notes.append({"check": check, "message": message})

    def run(self) -> None:
        """All checks. :raises ClusterError: only when the API server cannot be asked at all."""
        version = self.cluster.request("GET", "/version")["gitVersion"]
        self.passed.append({"check": "api", "message": f"{self.cluster.access.server} runs Kubernetes {version}"})
        checks: list[tuple[str, Callable[[], None]]] = [
            ("namespace", self._namespace),
            ("kinds", self._kinds),
            ("permissions", self._permissions),
            ("storage", self._storage),
            ("metrics", self._metrics),
            ("pod-security", self._pod_security),
            ("quota", self._quota),
            ("limits", self._limits),
            ("capacity", self._capacity),
            ("images", self._images),
            ("references", self._references),
        ]
        for name, check in checks:
            before = len(self.problems), len(self.notes)
            try:
                check()
            except ApiError as error:
                if error.status != 403:
                    raise
                self.note(name, f"could not be checked: {error.message}")
            if (len(self.problems), len(self.notes)) == before:
                self.passed.append({"check": name, "message": "ok"})

    @property
    def _root(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    def _of(self, kind: str) -> list[Object]:
        return [item for item in self.objects if item["kind"] == kind]

    def _namespace(self) -> None:
        try:
            self.absent = absent_namespaces(self.cluster, self.objects, self.namespace)
        except ApiError:
            raise
        except ClusterError as error:
            self.problem("namespace", error.message, error.way_out)

    def _kinds(self) -> None:
        brought = {(crd["spec"]["group"], crd["spec"]["names"]["kind"]) for crd in self._of("CustomResourceDefinition")}
        for version, kind in sorted({(item["apiVersion"], item["kind"]) for item in self.objects}):
            if not self.discovery.find(version, kind) and (version.rpartition("/")[0], kind) not in brought:
                self.problem(
                    "kinds", f"the cluster does not know {kind} of {version}", "install its CustomResourceDefinition"
                )

    def _permissions(self) -> None:
        wanted = set()
        for item in self.objects:
            resource = self.discovery.find(item["apiVersion"], item["kind"])
            if resource:
                verbs = VERBS_ONCE if item["kind"] == "Namespace" else VERBS
                place = item["metadata"].get("namespace", "") if resource.namespaced else ""
                wanted |= {(verb, resource.group, resource.plural, place) for verb in verbs}
        wanted |= {(verb, "", "secrets", self.namespace) for verb in ("get", "create", "patch")}
        wanted |= {
            ("list", "", "pods", self.namespace),
            ("watch", "", "pods", self.namespace),
            ("watch", "", "events", self.namespace),
        }
        missing: dict[tuple[str, str], list[str]] = {}
        ordered = sorted(wanted)
        for (verb, group, plural, where), allowed in zip(ordered, in_parallel(self._allowed, ordered, 8), strict=True):
            if not allowed:
                missing.setdefault((f"{plural}.{group}" if group else plural, where), []).append(verb)
        for (named, place), lacking in missing.items():
            where = f"in namespace {place}" if place else "at cluster scope"
            self.problem(
                "permissions", f"you may not {', '.join(lacking)} {named} {where}", "have a Role granted that allows it"
            )

    def _allowed(self, wanted: tuple[str, str, str, str]) -> bool:
        verb, group, resource, namespace = wanted
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self.cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return bool(answer["status"]["allowed"])

    def _storage(self) -> None:
        claims = [(item["metadata"]["name"], item["spec"]) for item in self._of("PersistentVolumeClaim")]
        for item in self._of("StatefulSet"):
            claims += [(one["metadata"]["name"], one["spec"]) for one in item["spec"].get("volumeClaimTemplates") or []]
        if not claims:
            return
        classes = {
            item["metadata"]["name"]: item for item in self.cluster.list("/apis/storage.k8s.io/v1/storageclasses")
        }
        key = "storageclass.kubernetes.io/is-default-class"
        default = [
            name for name, item in classes.items() if (item["metadata"].get("annotations") or {}).get(key) == "true"
        ]
        have = ", ".join(sorted(classes)) or "none"
        for name, spec in claims:
            wanted = spec.get("storageClassName") or (default or [""])[0]
            if not wanted:
                self.problem(
                    "storage", f"claim {name} names no class and the cluster has no default", f"name one of: {have}"
                )
            elif wanted not in classes and not spec.get("volumeName"):
                self.problem(
                    "storage", f"claim {name} wants class {wanted!r}, which does not exist", f"name one of: {have}"
                )
            elif classes.get(wanted, {}).get("provisioner") == "rancher.io/local-path":
                modes = sorted(set(spec.get("accessModes") or []) - {"ReadWriteOnce", "ReadWriteOncePod"})
                if modes:
                    self.problem(
                        "storage",
                        f"class {wanted!r} has no {', '.join(modes)} for {name}",
                        "use ReadWriteOnce or another class",
                    )

    def _metrics(self) -> None:
        if self._of("HorizontalPodAutoscaler") and not self.discovery.find("metrics.k8s.io/v1beta1", "PodMetrics"):
            self.note("metrics", "no metrics API: autoscalers hold still on CPU and memory (needs metrics-server)")

    def _pod_security(self) -> None:
        labels: dict[str, Any] = {}
        for item in self._of("Namespace"):
            if item["metadata"]["name"] == self.namespace:
                labels = item["metadata"].get("labels") or {}
        live = None if self.namespace in self.absent else self.cluster.find(f"/api/v1/namespaces/{self.namespace}")
        labels = {**(((live or {}).get("metadata") or {}).get("labels") or {}), **labels}
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            return
        for owner in _demand.pods(self.objects):
            lacking = _lacks_restricted(owner.spec)
            if lacking:
                self.problem(
                    "pod-security",
                    f"{owner.owner} does not meet the namespace's level restricted: {', '.join(lacking)}",
                    "set them in the securityContext",
                )

    def _ranges(self) -> list[Object]:
        own = {item["metadata"]["name"]: item for item in self._of("LimitRange")}
        live = [] if self.namespace in self.absent else self.cluster.list(f"{self._root}/limitranges")
        return [*own.values(), *(item for item in live if item["metadata"]["name"] not in own)]

    def _defaults(self) -> dict[str, Any]:
        limits = [limit for item in self._ranges() for limit in item["spec"]["limits"] if limit["type"] == "Container"]
        return {key: value for limit in limits for key, value in limit.items() if key in ("default", "defaultRequest")}

    def _quota(self) -> None:
        own = {item["metadata"]["name"]: item for item in self._of("ResourceQuota")}
        live = (
            {}
            if self.namespace in self.absent
            else {item["metadata"]["name"]: item for item in self.cluster.list(f"{self._root}/resourcequotas")}
        )
        demand = _demand.total(self.objects, self.namespace, self._defaults()) if own or live else {}
        mine = self._in_use() if live else {}
        for name in sorted({*own, *live}):
            hard = (own.get(name) or live[name])["spec"]["hard"]
            used = ((live.get(name) or {}).get("status") or {}).get("used") or {}
            for resource, limit in hard.items():
                others = max(parse(used.get(resource, "0")) - mine.get(resource, Decimal(0)), Decimal(0))
                left, asked = parse(limit) - others, demand.get(resource, Decimal(0))
                if asked > left:
                    self.problem(
                        "quota",
                        f"{resource} would be {show(asked, resource)}, "
                        f"ResourceQuota {name!r} leaves {show(left, resource)}",
                        "lower requests or replicas, or raise the quota",
                    )

    def _in_use(self) -> dict[str, Decimal]:
        """What the objects as they are now already use, which an update does not ask for again."""
        running = []
        for kind, path in (
            ("Deployment", "apps/v1"),
            ("StatefulSet", "apps/v1"),
            ("PersistentVolumeClaim", "v1"),
            ("Service", "v1"),
        ):
            resource = self.discovery.find(path, kind)
            names = {item["metadata"]["name"] for item in self._of(kind)}
            if resource and names:
                found = self.cluster.list(resource.collection(self.namespace))
                running += [{**item, "kind": kind} for item in found if item["metadata"]["name"] in names]
        return _demand.total(running, self.namespace, {})

    def _limits(self) -> None:
        for limit_range in self._ranges():
            name = limit_range["metadata"]["name"]
            for limit in (one for one in limit_range["spec"]["limits"] if one["type"] in ("Container", "Pod")):
                for owner in _demand.pods(self.objects):
                    if limit["type"] == "Pod":
                        self._within(f"a pod of {owner.owner}", _demand.of_pod(owner.spec), limit, name)
                        continue
                    for item in _demand.containers(owner.spec):
                        self._within(
                            f"container {item['name']} of {owner.owner}", _demand.of_container(item, limit), limit, name
                        )

    def _within(self, who: str, asked: dict[str, Decimal], limit: Object, name: str) -> None:
        for resource, most in (limit.get("max") or {}).items():
            value = asked.get(f"limits.{resource}")
            if value is not None and value > parse(most):
                self.problem(
                    "limits",
                    f"{who} has limits.{resource} {show(value, resource)}, LimitRange {name!r} allows at most {most}",
                    "lower the limit, or raise the LimitRange",
                )
        for resource, least in (limit.get("min") or {}).items():
            value = asked.get(f"requests.{resource}")
            if value is not None and value < parse(least):
                self.problem(
                    "limits",
                    f"{who} requests {resource} {show(value, resource)}, LimitRange {name!r} wants at least {least}",
                    "raise the request, or lower the LimitRange",
                )

    def _capacity(self) -> None:
        nodes = [
            item for item in self.cluster.list("/api/v1/nodes") if not (item.get("spec") or {}).get("unschedulable")
        ]
        for owner in _demand.pods(self.objects):
            asked = _demand.of_pod(owner.spec)
            for resource in ("cpu", "memory"):
                value = asked.get(f"requests.{resource}", Decimal(0))
                most = max((parse(node["status"]["allocatable"][resource]) for node in nodes), default=Decimal(0))
                if value > most:
                    self.problem(
                        "capacity",
                        f"a pod of {owner.owner} requests {resource} {show(value, resource)}, "
                        f"the largest node has {show(most, resource)}",
                        "lower the request, or add a larger node",
                    )

    def _images(self) -> None:
        for owner in _demand.pods(self.objects):
            for item in _demand.containers(owner.spec):
                image = str(item.get("image") or "")
                tag = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[2]
                if not image:
                    self.problem("images", f"container {item.get('name')} of {owner.owner} names no image", "name one")
                elif tag == "latest" or (not tag and "@" not in image):
                    self.problem(
                        "images",
                        f"{owner.owner} uses image {image}, which changes under your feet",
                        "name a version or a digest",
                    )

    def _references(self) -> None:
        present = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in self.objects}
        made = {
            (item["spec"].get("target") or {}).get("name") or item["metadata"]["name"]
            for item in self._of("ExternalSecret")
        }
        made |= {item["metadata"]["name"] for item in self._of("SealedSecret")}
        made |= {item["spec"].get("secretName") for item in self._of("Certificate")}
        for owner, namespace, kind, name in sorted(set(_demand.referenced(self.objects))):
            if (kind, namespace, name) in present or (kind == "Secret" and name in made):
                continue
            path = f"/api/v1/namespaces/{namespace}/{kind.lower()}s/{name}"
            if namespace in self.absent or self.cluster.find(path) is None:
                self.problem(
                    "references",
                    f"{owner} needs {kind} {name!r} in {namespace}, which does not exist",
                    f"create it, or let the release bring it: kubectl -n {namespace} create {kind.lower()} …",
                )


def _lacks_restricted(spec: Object) -> list[str]:
    """What the Pod Security level ``restricted`` misses in a pod (Pod Security Standards)."""
    pod, found = spec.get("securityContext") or {}, []
    for item in _demand.containers(spec):
        own = item.get("securityContext") or {}
        if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
            found.append("runAsNonRoot")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation: false")
        if "ALL" not in ((own.get("capabilities") or {}).get("drop") or []):
            found.append("capabilities.drop: [ALL]")
        if not (own.get("seccompProfile") or pod.get("seccompProfile")):
            found.append("seccompProfile")
    return list(dict.fromkeys(found))
