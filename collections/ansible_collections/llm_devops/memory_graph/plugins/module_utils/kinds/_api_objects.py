# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When objects that extend or divide the API are ready: Namespace, CustomResourceDefinition and APIService. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .._json import mapping, text
from ._problem import REFERENCE_GRACE_S, WaitProblem
from ._verdict import UNSEEN, Object, Verdict, condition, explanation, ready_if


def namespace(obj: Object) -> Verdict:
    phase = text(obj, "status", "phase")
    return ready_if(phase == "Active", phase.lower())


def custom_resource_definition(obj: Object) -> Verdict:
    names = condition(obj, "NamesAccepted")
    if names.get("status") == "False" and names.get("reason") != "NotAccepted":
        return Verdict("failed", explanation(names, "its names are taken"))
    established = condition(obj, "Established").get("status") == "True"
    return ready_if(established, "established" if established else "establishing")


def api_service(obj: Object) -> Verdict:
    available = condition(obj, "Available")
    if available.get("status") == "True":
        return Verdict("ready", "available")
    if available.get("reason") == "ServiceNotFound":  # in the order of kinds, the Service is there by now
        return Verdict("failed", explanation(available, "not available"))
    return Verdict("progressing", explanation(available, UNSEEN))


def api_service_problem(obj: Object, verdict: Verdict, _events: Sequence[Object]) -> WaitProblem | None:
    """Return its failure, which ends the wait a moment later, since its Service may just have come."""
    if verdict.state != "failed":
        return None
    service = mapping(obj, "spec", "service")
    why = "it points to a Service that does not exist; until it does, no namespace of the cluster can be deleted"
    target = f"Service {text(service, 'name')} in {text(service, 'namespace')}"
    return WaitProblem(verdict.reason, why, f"create {target}, or correct spec.service", REFERENCE_GRACE_S)
