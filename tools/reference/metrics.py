"""Metrics of the service, from the calls that declare them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.reference.markdown import code, document, paragraph, table

_SOURCE = Path(__file__).parents[2] / "service/src/memory_graph"
_NAME = re.compile(r"(llm_)?memory_graph_[a-z_]+|circuit_breaker_[a-z_]+")
_KINDS = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram", "histogram": "histogram"}


class Declared(NamedTuple):
    """A metric as it is declared."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def page() -> str:
    """The page: every metric with its kind, its labels and its help text."""
    rows = [[code(m.name), m.kind, ", ".join(map(code, m.labels)), m.help] for m in declared()]
    return document(
        "Metrics",
        "the declarations in `service/src/memory_graph`",
        paragraph(
            "`serve` and `worker` answer at `/metrics` of METRICS_PORT (9090), in the text format of Prometheus. A"
            " process shows the metrics of what it does: the lag of Kafka is a worker's, gRPC calls are a server's. The"
            " metrics of the process itself (`process_…`) are those of the Prometheus client."
        ),
        table(("metric", "kind", "labels", "meaning"), rows),
    )


def declared() -> list[Declared]:
    """Every metric that the service declares, by name.

    Raises:
        ValueError: a metric is declared without a help text, or by a call that is not known here.
    """
    metrics = [metric for path in sorted(_SOURCE.rglob("*.py")) for metric in _in(ast.parse(path.read_text()))]
    return sorted(metrics)


def _in(tree: ast.Module) -> Iterator[Declared]:
    for call in ast.walk(tree):
        texts = [_text(argument) for argument in call.args] if isinstance(call, ast.Call) else []
        name = next((text for text in texts if text and _NAME.fullmatch(text)), None)
        if name is None:
            continue
        assert isinstance(call, ast.Call)
        kind = _KINDS.get(ast.unparse(call.func).rpartition(".")[2].lstrip("_"))
        help_text = next((text for text in texts[texts.index(name) + 1 :] if text), None)
        if kind is None or help_text is None:
            raise ValueError(f"line {call.lineno}: {name} is declared without a help text, or by an unknown call")
        labels = next((argument.elts for argument in call.args if isinstance(argument, ast.List | ast.Tuple)), [])
        yield Declared(name, kind, tuple(str(_text(label)) for label in labels), help_text)


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
