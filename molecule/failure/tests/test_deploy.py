"""The memory graph itself, by the playbook a user runs: a good revision, and then a next one that fails."""

from __future__ import annotations

import re

import pytest

from .conftest import WAIT_TIMEOUT_S, PlaybookRun, Sandbox
from .test_failure import MIN_TIMEOUT_RATIO, assert_prints

SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
POD = "StatefulSet/memory-graph failed after * s: Pod memory-graph-0: "
CHANGES = {
    "an image that does not exist": (
        {"memory_graph_image": "host.invalid/memory-graph:9.9.9"},
        [
            f"{POD}*: host.invalid/memory-graph:9.9.9: *",
            "why      the registry's name has no address",
            "try      correct the image  ·  kubectl -n $namespace describe pod memory-graph-0",
        ],
    ),
    "a certificate that is none": (
        {"memory_graph_tls": True, "memory_graph_tls_certificate": "nonsense", "memory_graph_tls_key": "nonsense"},
        [
            f"{POD}CrashLoopBackOff: container memory-graph ended 3 times (exit code *)",
            "why      the program ends right after it starts",
            "try      read its log  ·  kubectl -n $namespace logs memory-graph-0 -c memory-graph --previous",
            "log      *TLS_CERT_FILE */tls.crt and TLS_KEY_FILE */tls.key are not a certificate*",
        ],
    ),
}


def deploy(sandbox: Sandbox, **variables: object) -> PlaybookRun:
    settings = {
        "memory_graph_namespace": sandbox.namespace,
        "memory_graph_image": sandbox.image,
        "memory_graph_endpoint": "",
        "memory_graph_service_type": "ClusterIP",
        "memory_graph_storage_size": "1Gi",
        "memory_graph_resources": SMALL,
        "memory_graph_pre_stop_seconds": 0,
        "memory_graph_wait_timeout": WAIT_TIMEOUT_S,
    }
    return sandbox.run_playbook("playbooks/deploy.yml", **settings | variables)


@pytest.mark.parametrize("change", CHANGES)
def test_a_revision_that_cannot_start_is_told_from_the_one_before(sandbox: Sandbox, change: str) -> None:
    good = deploy(sandbox)
    assert good.status == 0, good.output
    variables, sentences = CHANGES[change]
    bad = deploy(sandbox, **variables)
    assert bad.status != 0, bad.output
    assert_prints(bad, sandbox.substitute(sentences))
    duration = re.search(r"failed after ([0-9.]+) s", bad.output)
    assert duration, bad.output
    assert float(duration[1]) < WAIT_TIMEOUT_S / MIN_TIMEOUT_RATIO
    print(f"{change}: waited {duration[1]} s of {WAIT_TIMEOUT_S}\n{bad.output}")
