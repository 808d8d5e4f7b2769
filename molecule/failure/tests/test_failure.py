"""Every case fails with the sentences of ``cases.yml``, in output and result, and long before the timeout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import WAIT_TIMEOUT_S, PlaybookRun, Sandbox

CASES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases.yml").read_text())
MIN_TIMEOUT_RATIO = 4
"""A wait that fails at once takes less than its timeout divided by this."""


def case_objects(case: dict[str, Any], container: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the objects of a case, its workload among them."""
    return [*case.get("objects", []), *([deployment(case, container)] if container is not None else [])]


def deployment(case: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": "demo"}
    pod = {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "$image", **container}],
        **({"initContainers": [{"name": "first", "image": "$image", **case["init"]}]} if "init" in case else {}),
        **case.get("pod", {}),
    }
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    spec["progressDeadlineSeconds"] = case.get("deadline", 600)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "demo"}, "spec": spec}


def prepare(sandbox: Sandbox, case: dict[str, Any]) -> list[dict[str, Any]]:
    """Prepare the sandbox for the case; return the objects to release."""
    metadata = {"name": sandbox.namespace, "labels": case.get("labels", {})}
    sandbox.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    for manifest in sandbox.substitute(case.get("before", [])):
        sandbox.apply(manifest)
    objects = sandbox.substitute(case_objects(case, case.get("workload")))
    if case.get("refusing"):
        sandbox.wait_for_refusal(objects[0])
    if "rules" in case:
        sandbox.act_as_service_account(case["rules"])
    if "earlier" in case:
        first = sandbox.release(sandbox.substitute(case_objects(case, case["earlier"])))
        assert first.status == 0, first.output
    return objects


def matches(sentence: str, line: str) -> bool:
    return bool(re.fullmatch(".*".join(re.escape(part) for part in sentence.split("*")), line))


def assert_prints(run: PlaybookRun, sentences: list[str]) -> None:
    """Assert that every sentence is a line of the output, and those of the failure of the module's message too."""
    message = [line.strip() for line in str(run.result.get("msg", run.output)).splitlines()]
    for sentence in sentences:
        assert any(matches(sentence, line) for line in run.lines), f"not said: {sentence}\n\n{run.output}"
        if not sentence.startswith("wait "):  # progress is in the report
            assert any(matches(sentence, line) for line in message), f"not in the result: {sentence}\n\n{run.result}"


@pytest.mark.parametrize("name", CASES)
def test_failure(sandbox: Sandbox, name: str) -> None:
    case = CASES[name]
    timeout = case.get("wait_timeout", WAIT_TIMEOUT_S)
    run = sandbox.release(prepare(sandbox, case), timeout)
    assert run.status != 0, run.output
    assert "Traceback" not in run.output
    assert_prints(run, sandbox.substitute(case["says"]))
    waited = run.result.get("timings", {}).get("wait", 0)
    assert waited < WAIT_TIMEOUT_S / MIN_TIMEOUT_RATIO, run.output
    print(f"{name}: waited {waited} s of {timeout}\n{run.output}")
