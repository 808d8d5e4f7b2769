#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: memory_roundtrip_info
short_description: Prove that a memory graph stores and is measured
version_added: 0.1.0
description:
  - Writes a session (metadata C(verify=true)) and a prompt, reads both back and deletes them, through a Service or
    an address.
  - Then reads the metrics and sees that the write was counted.
  - Nothing of it stays, so nothing is changed. In check mode nothing is written either and the result is empty.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
options:
  namespace:
    description: Namespace of O(service).
    type: str
    required: true
  service:
    description: Service whose pods are measured, and, without O(address), written to.
    type: str
    required: true
  address:
    description: >-
      C(host:port) to write to and read from, as a client outside the cluster does; without it a port-forward is made.
    type: str
  port:
    description: gRPC port of the pods.
    type: int
    default: 50051
  metrics_port:
    description: Port of the pods that serves C(/metrics).
    type: int
    default: 9090
  tls:
    description: Whether gRPC speaks TLS.
    type: bool
    default: false
  tls_ca:
    description: File with the CA of the server's certificate; by default the system's.
    type: path
  tls_certificate:
    description: File with the certificate to show to the server (mTLS).
    type: path
  tls_key:
    description: File with the private key of O(tls_certificate).
    type: path
  timeout:
    description: Seconds to connect, and seconds each call may take.
    type: int
    default: 15
attributes:
  check_mode:
    support: full
    description: Writes nothing.
requirements:
  - grpcio >= 1.60
  - protobuf >= 4.25
  - websocket-client >= 1.7
"""

EXAMPLES = r"""
- name: The memory graph stores, and is measured
  llm_devops.memory_graph.memory_roundtrip_info:
    namespace: llm-memory-graph
    service: memory-graph-internal
"""

RETURN = r"""
write_ms:
  description: Milliseconds until the prompt was acknowledged, which is after it was durable.
  returned: when not in check mode
  type: float
read_ms:
  description: Milliseconds of reading the session and the prompt.
  returned: when not in check mode
  type: float
writes_counted:
  description: Writes of prompts the pods have counted since they started.
  returned: when not in check mode
  type: int
report:
  description: Lines for a person, each a C(label) and a C(text).
  returned: always
  type: list
  elements: dict
"""

import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import missing_required_lib

from ..module_utils import _memory_messages, _portforward, _roundtrip
from ..module_utils._ansible import ClusterModule, sentence
from ..module_utils._cluster import Cluster
from ..module_utils._endpoints import ready_pods
from ..module_utils._errors import ClusterError
from ..module_utils._portforward import PortForward
from ..module_utils._roundtrip import Measured, RoundtripError, Tls, connected, roundtrip

OPTIONS: dict[str, dict[str, Any]] = {
    "namespace": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "address": {"type": "str"},
    "port": {"type": "int", "default": 50051},
    "metrics_port": {"type": "int", "default": 9090},
    "tls": {"type": "bool", "default": False},
    "tls_ca": {"type": "path"},
    "tls_certificate": {"type": "path"},
    "tls_key": {"type": "path", "no_log": False},
    "timeout": {"type": "int", "default": 15},
}
LIBRARIES = (
    ("grpcio", _roundtrip, "grpc"),
    ("protobuf", _memory_messages, "descriptor_pb2"),
    ("websocket-client", _portforward, "websocket"),
)
WRITES = re.compile(r'^memory_graph_grpc_requests_total\{method="AddPrompt",status="OK"\} ([0-9.e+]+)$', re.MULTILINE)


def pem(file: str | None) -> bytes | None:
    """Reads a file; none is nothing.

    Raises:
        ClusterError: when the file cannot be read.
    """
    try:
        return Path(file).read_bytes() if file else None
    except OSError as error:
        raise ClusterError(f"{file} cannot be read: {error.strerror}", "name a PEM file of the controller") from error


def written(params: dict[str, Any], forward: PortForward | None, server_name: str) -> Measured:
    """Does the round trip through the address that was given, or through the port-forward."""
    tls = None
    if params["tls"]:
        tls = Tls(pem(params["tls_ca"]), pem(params["tls_certificate"]), pem(params["tls_key"]), server_name or None)
    if forward is None:
        with connected(params["address"], tls, params["timeout"]) as channel:
            return roundtrip(channel, params["timeout"])
    try:
        with forward as address, connected(address, tls, params["timeout"]) as channel:
            return roundtrip(channel, params["timeout"])
    except RoundtripError as error:
        if not forward.error:
            raise
        raise RoundtripError(f"{error.message}: {forward.error}", error.way_out) from error


def counted(cluster: Cluster, namespace: str, pod: str, port: int, timeout: float) -> int:
    """Reads from a pod's metrics how many prompts it has written.

    Raises:
        ClusterError: when there are no metrics, or they do not count requests.
    """
    forward = PortForward(cluster, namespace, pod, port)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with forward as address, direct.open(f"http://{address}/metrics", timeout=timeout) as answer:
            text = answer.read().decode(errors="replace")
    except (OSError, urllib.error.URLError) as error:
        raise ClusterError(
            f"pod {pod} serves no metrics on port {port}: {forward.error or error}", "read the pod's log"
        ) from error
    if "memory_graph_grpc_requests_total" not in text:
        raise ClusterError(f"the metrics of pod {pod} do not count requests", "is it a memory graph that runs there?")
    found = WRITES.search(text)
    return int(float(found[1])) if found else 0


def prove(cluster: Cluster, params: dict[str, Any]) -> dict[str, Any]:
    """Writes, reads back, and sees the write in the metrics."""
    namespace, service = params["namespace"], params["service"]
    pods = ready_pods(cluster, namespace, service)
    forward = None if params["address"] else PortForward(cluster, namespace, pods[0], params["port"])
    measured = written(params, forward, f"{service}.{namespace}.svc" if forward else "")
    writes = sum(counted(cluster, namespace, pod, params["metrics_port"], params["timeout"]) for pod in pods)
    if not writes:
        raise ClusterError(
            f"a prompt was written, but no pod of Service/{service} counted it",
            "does the address lead to this release?",
        )
    through = f"through {params['address']}" if params["address"] else f"through Service/{service}"
    text = f"write+read {through} ok ({measured.write_ms:.1f} ms, {measured.read_ms:.1f} ms) · metrics scraped ok"
    return {
        "write_ms": round(measured.write_ms, 1),
        "read_ms": round(measured.read_ms, 1),
        "writes_counted": writes,
        "report": [{"label": "verify", "text": text}],
    }


@sentence
def main() -> None:
    module = ClusterModule(OPTIONS, supports_check_mode=True, required_together=[("tls_certificate", "tls_key")])
    for library, user, name in LIBRARIES:
        if getattr(user, name) is None:
            module.fail_json(msg=missing_required_lib(library))
    if module.check_mode:
        module.done(changed=False, report=[])
    try:
        module.done(changed=False, **prove(module.connect(), module.params))
    except ClusterError as error:
        module.refuse(error)


if __name__ == "__main__":
    main()
