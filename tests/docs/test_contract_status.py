"""The contract says "not served yet" of what the code does not have, and of nothing else."""

from __future__ import annotations

import re

import pytest
from tools.reference.metrics import declared

from .markdown_pages import ROOT

PAGE = (ROOT / "docs/reference/contract.md").read_text()
REST = (ROOT / "service/src/memory_graph/api/rest/app.py").read_text()


def section(number: int) -> tuple[str, str]:
    """The part of a section that is served, and the part that is not served yet."""
    text = next(text for text in PAGE.split("\n## ") if text.startswith(f"{number}. "))
    served, _, reserved = text.partition("### Not served yet")
    return served, reserved


def routes(text: str) -> set[str]:
    return set(re.findall(r"`(?:[A-Z]+ )?(/[a-z][\w/.{}-]*)`", text))


def metrics(text: str) -> set[str]:
    return set(re.findall(r"`((?:llm_)?memory_graph_\w+|circuit_breaker_state)", text))


def test_routes_of_rest_are_served_as_the_contract_says() -> None:
    served, reserved = map(routes, section(4))
    assert {route for route in served if f'"{route}"' not in REST} == set()
    assert {route for route in reserved if f'"{route}"' in REST} == set()
    assert "/api/v1/telemetry/batch" in served
    assert "/api/v1/prompts" in reserved


def test_metrics_are_declared_as_the_contract_says() -> None:
    names = {metric.name for metric in declared()}
    served, reserved = map(metrics, section(8))
    assert served - names == set()
    assert reserved & names == set()
    assert len(served) > 15
    assert reserved


@pytest.mark.parametrize("number", range(1, 10))
def test_the_sections_keep_their_numbers(number: int) -> None:
    assert f"\n## {number}. " in PAGE
