#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: grpc_health_info
short_description: Ask gRPC services whether they serve
version_added: 0.1.0
description:
  - Calls C(grpc.health.v1.Health/Check) on an address, or on every pod of a Service or a label selector
    through the API server's port-forward.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
options:
  address:
    description: C(host:port) to ask directly. Either this, O(service) or O(label_selector).
    type: str
  namespace:
    description: Namespace of O(service) or O(label_selector).
    type: str
  service:
    description: A Service; each pod its selector matches is asked.
    type: str
  label_selector:
    description: Each pod that matches is asked.
    type: str
  port:
    description: Port of the pods.
    type: int
    default: 50051
  services:
    description: gRPC service names to ask for; the empty name is the server as a whole.
    type: list
    elements: str
    default: ['']
  tls:
    description: Whether the service speaks TLS.
    type: bool
    default: false
  tls_ca:
    description: File with the CA of the service's certificate; by default the system's.
    type: path
  tls_server_name:
    description: Name the certificate must have, when it is not the address.
    type: str
  timeout:
    description: Seconds one call may take.
    type: int
    default: 5
  wait_timeout:
    description: Seconds to ask again until everything serves; V(0) asks once.
    type: int
    default: 0
attributes:
  check_mode:
    support: full
    description: Reads only.
requirements:
  - grpcio >= 1.60
  - grpcio-health-checking >= 1.60
  - websocket-client >= 1.7
"""

EXAMPLES = r"""
- name: Every pod behind the Service serves
  llm_devops.memory_graph.grpc_health_info:
    namespace: llm-memory-graph
    service: memory-graph-internal
    wait_timeout: 30
"""

RETURN = r"""
targets:
  description: Per target and service its C(status) (a ServingStatus, or UNREACHABLE), C(latency_ms) and C(detail).
  returned: always
  type: list
  elements: dict
report:
  description: Lines for a person, each a C(label) and a C(text).
  returned: always
  type: list
  elements: dict
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._ansible import ClusterModule, sentence
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends import _grpc_health
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._grpc_health import Health, check
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster import _port_forward
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import Cluster
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._port_forward import PortForward

OPTIONS: dict[str, dict[str, Any]] = {
    "address": {"type": "str"},
    "namespace": {"type": "str"},
    "service": {"type": "str"},
    "label_selector": {"type": "str"},
    "port": {"type": "int", "default": 50051},
    "services": {"type": "list", "elements": "str", "default": [""]},
    "tls": {"type": "bool", "default": False},
    "tls_ca": {"type": "path"},
    "tls_server_name": {"type": "str"},
    "timeout": {"type": "int", "default": 5},
    "wait_timeout": {"type": "int", "default": 0},
}


def pods(cluster: Cluster, params: dict[str, Any]) -> list[str]:
    """Return the names of the pods to check."""
    selector, root = params["label_selector"], f"/api/v1/namespaces/{params['namespace']}"
    if params["service"]:
        service = cluster.request("GET", f"{root}/services/{params['service']}")
        labels = service["spec"].get("selector") or {}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        if not selector:
            raise ClusterError(f"Service/{params['service']} has no selector", "name the pods with label_selector")
    running = [pod for pod in cluster.list(f"{root}/pods", selector) if not pod["metadata"].get("deletionTimestamp")]
    if not running:
        raise ClusterError(f"no pod matches {selector} in namespace {params['namespace']}", "is the release deployed?")
    return [pod["metadata"]["name"] for pod in running if (pod.get("status") or {}).get("phase") != "Succeeded"]


def check_target(module: ClusterModule, cluster: Cluster | None, target: str, deadline: float) -> list[Health]:
    params = module.params
    ca = None if not params["tls"] else (Path(params["tls_ca"]).read_bytes() if params["tls_ca"] else b"")
    options = {"timeout": params["timeout"], "deadline": deadline, "ca": ca, "server_name": params["tls_server_name"]}
    if cluster is None:
        return check(target, target, params["services"], **options)
    forward = PortForward(cluster, params["namespace"], target, params["port"])
    with forward as address:
        answers = check(target, address, params["services"], **options)
    for answer in answers:
        if answer.status == "UNREACHABLE" and forward.error:
            answer.detail = forward.error
    return answers


@sentence
def main() -> None:
    module = ClusterModule(
        OPTIONS, supports_check_mode=True,
        required_one_of=[("address", "service", "label_selector")],
        mutually_exclusive=[("address", "service", "label_selector")],
        required_by={"service": "namespace", "label_selector": "namespace"},
    )  # fmt: skip
    if _grpc_health.grpc is None:
        module.fail_json(msg=missing_required_lib("grpcio and grpcio-health-checking"))
    if _port_forward.websocket is None and not module.params["address"]:
        module.fail_json(msg=missing_required_lib("websocket-client"))
    deadline = time.monotonic() + module.params["wait_timeout"]
    try:
        cluster = None if module.params["address"] else module.connect()
        targets = pods(cluster, module.params) if cluster else [module.params["address"]]
        with ThreadPoolExecutor(max_workers=8) as pool:
            answers = [
                item
                for results in pool.map(lambda target: check_target(module, cluster, target, deadline), targets)
                for item in results
            ]
    except ClusterError as error:
        module.refuse(error)
    except OSError as error:
        module.refuse(ClusterError(f"tls_ca {module.params['tls_ca']} cannot be read: {error.strerror}"))
    result = {"targets": [answer.as_dict() for answer in answers], "changed": False}
    unhealthy = [
        f"{target.target} is {target.status}{' (' + target.detail + ')' if target.detail else ''}"
        for target in answers
        if target.status != "SERVING"
    ]
    if unhealthy:
        module.refuse(ClusterError("gRPC health: " + "; ".join(unhealthy), "read the pod's log"), **result)
    slowest = max(answer.latency_ms for answer in answers)
    text = f"gRPC SERVING on {len(targets)} {'target' if len(targets) == 1 else 'targets'} ({slowest:g} ms)"
    module.done(**result, report=[{"label": "verify", "text": text}])


if __name__ == "__main__":
    main()
