#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: smoke_test
short_description: Write to a memory graph, read it back and see it counted
version_added: 0.1.0
description:
  - Writes a session and a prompt, reads both back, also by full-text search, and deletes them, through a Service or an
    address.
  - Reads the metrics before and after, and sees that the pod which took the write counted it.
  - All of it happens in a tenant of its own, which no query of a user sees. Nothing stays of it, neither in history
    nor in the change feed, so nothing is changed. What an interrupted run leaves is deleted by the service after ten
    minutes. In check mode nothing is written either and the result is empty.
  - A service that is older than smoke tests is only asked for its health, with a warning.
  - Was called M(llm_devops.memory_graph.memory_roundtrip_info).
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
  llm_devops.memory_graph.smoke_test:
    namespace: llm-memory-graph
    service: memory-graph-internal
"""

RETURN = r"""
write_ms:
  description: Milliseconds until the prompt was acknowledged, which is after it was durable.
  returned: when something was written
  type: float
read_ms:
  description: Milliseconds of reading the session and the prompt, and of finding it by its text.
  returned: when something was written
  type: float
pod:
  description: The pod that took the prompt.
  returned: when something was written
  type: str
writes_before:
  description: Writes of prompts that pod had counted before.
  returned: when something was written
  type: int
writes_counted:
  description: Writes of prompts that pod has counted since it started.
  returned: when something was written
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

from ..module_utils._ansible import ClusterModule, sentence
from ..module_utils._errors import ClusterError
from ..module_utils.backends import _memory_messages, _smoke_test
from ..module_utils.backends._access import ready_pods
from ..module_utils.backends._smoke_test import (
    SmokeTestError,
    SmokeTestResult,
    Tls,
    UnknownSmokeTest,
    open_channel,
    smoke_test,
)
from ..module_utils.cluster import _port_forward
from ..module_utils.cluster._cluster import Cluster
from ..module_utils.cluster._port_forward import PortForward

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
    ("grpcio", _smoke_test, "grpc"),
    ("protobuf", _memory_messages, "descriptor_pb2"),
    ("websocket-client", _port_forward, "websocket"),
)
WRITES = re.compile(r'^memory_graph_grpc_requests_total\{method="AddPrompt",status="OK"\} ([0-9.e+]+)$', re.MULTILINE)


def pem(file: str | None) -> bytes | None:
    """Return the content of a PEM file, or None without one.

    Raises:
        ClusterError: when the file cannot be read.
    """
    try:
        return Path(file).read_bytes() if file else None
    except OSError as error:
        raise ClusterError(f"{file} cannot be read: {error.strerror}", "name a PEM file of the controller") from error


def write_and_read(params: dict[str, Any], forward: PortForward | None, server_name: str) -> SmokeTestResult:
    """Run the smoke test through the given address, or through the port-forward."""
    tls = None
    if params["tls"]:
        tls = Tls(pem(params["tls_ca"]), pem(params["tls_certificate"]), pem(params["tls_key"]), server_name or None)
    if forward is None:
        with open_channel(params["address"], tls, params["timeout"]) as channel:
            return smoke_test(channel, params["timeout"])
    try:
        with forward as address, open_channel(address, tls, params["timeout"]) as channel:
            return smoke_test(channel, params["timeout"])
    except SmokeTestError as error:
        if not forward.error:
            raise
        raise SmokeTestError(f"{error.message}: {forward.error}", error.way_out) from error


def read_write_count(cluster: Cluster, namespace: str, pod: str, port: int, timeout: float) -> int:
    """Return from a pod's metrics how many prompts it has written.

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
    match = WRITES.search(text)
    return int(float(match[1])) if match else 0


def pod_named(pods: list[str], host: str) -> str | None:
    """Return the pod with that host name, which is the pod's name cut to the length of a host name."""
    return next((pod for pod in pods if pod[:63].rstrip("-.") == host), None)


def verify(cluster: Cluster, params: dict[str, Any]) -> dict[str, Any]:
    """Run the smoke test, and find its write in the metrics of the pod that took it."""
    namespace, service, port, timeout = (params[name] for name in ("namespace", "service", "metrics_port", "timeout"))
    pods = ready_pods(cluster, namespace, service)
    forward = None if params["address"] else PortForward(cluster, namespace, pods[0], params["port"])
    before = {pod: read_write_count(cluster, namespace, pod, port, timeout) for pod in pods}
    result = write_and_read(params, forward, f"{service}.{namespace}.svc" if forward else "")
    through = f"through {params['address']}" if params["address"] else f"through Service/{service}"
    pod = pod_named(pods, result.pod) or pod_named(ready_pods(cluster, namespace, service), result.pod)
    if pod is None:
        raise ClusterError(
            f"a prompt was written {through}, but {result.pod} took it, which is no pod of Service/{service}",
            "does the address lead to this release?",
        )
    writes = read_write_count(cluster, namespace, pod, port, timeout)
    if writes <= before.get(pod, 0):
        raise ClusterError(
            f"pod {pod} took a prompt, but did not count it: its metrics said {before.get(pod, 0)} before and say"
            f" {writes} after",
            "was it started again meanwhile?",
        )
    text = f"write+read {through} ok ({result.write_ms:.1f} ms, {result.read_ms:.1f} ms) · metrics scraped ok"
    return {
        "write_ms": round(result.write_ms, 1),
        "read_ms": round(result.read_ms, 1),
        "pod": pod,
        "writes_before": before.get(pod, 0),
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
        module.done(changed=False, **verify(module.connect(), module.params))
    except UnknownSmokeTest as error:
        module.warn(f"nothing was written: {error}")
        module.done(changed=False, report=[{"label": "verify", "text": f"write+read not tried: {error.message}"}])
    except ClusterError as error:
        module.refuse(error)


if __name__ == "__main__":
    main()
