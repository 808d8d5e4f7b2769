"""Every case fails with the sentences of ``cases.yml``, in output and result, and long before the timeout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import WAIT_TIMEOUT, Run, Stage

CASES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases.yml").read_text())
LONG_BEFORE = 4
"""A wait that fails at once takes less than this part of its timeout."""


def objects_of(case: dict[str, Any], container: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The objects of a case, its workload among them."""
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


def prepared(stage: Stage, case: dict[str, Any]) -> list[dict[str, Any]]:
    """Sets the stage; returns what is to be released."""
    metadata = {"name": stage.namespace, "labels": case.get("labels", {})}
    stage.put({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    for manifest in stage.filled(case.get("before", [])):
        stage.put(manifest)
    objects = stage.filled(objects_of(case, case.get("workload")))
    if case.get("refusing"):
        stage.await_refusal(objects[0])
    if "rules" in case:
        stage.become(case["rules"])
    if "earlier" in case:
        first = stage.release(stage.filled(objects_of(case, case["earlier"])))
        assert first.status == 0, first.output
    return objects


def matches(sentence: str, line: str) -> bool:
    return bool(re.fullmatch(".*".join(re.escape(part) for part in sentence.split("*")), line))


def assert_says(run: Run, sentences: list[str]) -> None:
    """Every sentence is a line of the output; those of the failure are in the module's message too."""
    told = [line.strip() for line in str(run.result.get("msg", run.output)).splitlines()]
    for sentence in sentences:
        assert any(matches(sentence, line) for line in run.lines), f"not said: {sentence}\n\n{run.output}"
        if not sentence.startswith("wait "):  # progress is in the report
            assert any(matches(sentence, line) for line in told), f"not in the result: {sentence}\n\n{run.result}"


@pytest.mark.parametrize("name", CASES)
def test_failure(stage: Stage, name: str) -> None:
    case = CASES[name]
    timeout = case.get("wait_timeout", WAIT_TIMEOUT)
    run = stage.release(prepared(stage, case), timeout)
    assert run.status != 0, run.output
    assert "Traceback" not in run.output
    assert_says(run, stage.filled(case["says"]))
    waited = run.result.get("timings", {}).get("wait", 0)
    assert waited < WAIT_TIMEOUT / LONG_BEFORE, run.output
    print(f"{name}: waited {waited} s of {timeout}\n{run.output}")
