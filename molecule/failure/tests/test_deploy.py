"""The memory graph itself, by the playbook a user runs: a good revision, and then what may go wrong with the next."""

from __future__ import annotations

import re

import pytest

from .conftest import WAIT_TIMEOUT, Run, Stage
from .test_failure import LONG_BEFORE, assert_says

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


def deploy(stage: Stage, **variables: object) -> Run:
    ours = {
        "memory_graph_namespace": stage.namespace,
        "memory_graph_image": stage.image,
        "memory_graph_endpoint": "",
        "memory_graph_service_type": "ClusterIP",
        "memory_graph_storage_size": "1Gi",
        "memory_graph_resources": SMALL,
        "memory_graph_pre_stop_seconds": 0,
        "memory_graph_wait_timeout": WAIT_TIMEOUT,
    }
    return stage.play("playbooks/deploy.yml", **ours | variables)


@pytest.mark.parametrize("change", CHANGES)
def test_a_revision_that_cannot_start_is_told_from_the_one_before(stage: Stage, change: str) -> None:
    good = deploy(stage)
    assert good.status == 0, good.output
    variables, says = CHANGES[change]
    bad = deploy(stage, **variables)
    assert bad.status != 0, bad.output
    assert_says(bad, stage.filled(says))
    failed = re.search(r"failed after ([0-9.]+) s", bad.output)
    assert failed, bad.output
    assert float(failed[1]) < WAIT_TIMEOUT / LONG_BEFORE
    print(f"{change}: waited {failed[1]} s of {WAIT_TIMEOUT}\n{bad.output}")
