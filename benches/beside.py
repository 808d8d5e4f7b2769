"""The same benches in another checkout and in this one, in turn, and how their figures compare.

The runs of a round go old, new, new, old: a machine that gets slower or faster meanwhile favours neither. Each
checkout runs its own benches with its own virtual environment.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
WHOLE_RUN = "the whole run"
Key = tuple[str, ...]
Figures = dict[Key, float]


class FigureComparison(NamedTuple):
    """One figure of both checkouts: their medians, and new / old in each pair of runs."""

    case: str
    figure: str
    old: float
    new: float
    ratios: list[float]


def compare(command: list[str], other: Path, pairs: int) -> list[FigureComparison]:
    """Run one bench ``pairs`` times in ``other`` ("old") and in this checkout ("new"), and compare their figures.

    :raises RuntimeError: when the other checkout has no virtual environment, or a run failed.
    """
    roots = {"old": other.resolve(), "new": ROOT}
    for root in roots.values():
        if not _python(root).exists():
            raise RuntimeError(f"{root} has no .venv: run `make setup` there")
    runs: dict[str, list[Figures]] = {"old": [], "new": []}
    for pair in range(pairs):
        for name in ("old", "new") if pair % 2 == 0 else ("new", "old"):
            print(f"  {name}, {pair + 1} of {pairs} …", file=sys.stderr, flush=True)
            runs[name].append(_run(command, roots[name]))
    return list(comparisons(runs["old"], runs["new"]))


def _run(command: list[str], root: Path) -> Figures:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([_python(root), *command], cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed in {root}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**dict(flattened(json.loads(done.stdout))), (WHOLE_RUN, "cpu_s"): cpu_s}


def _python(root: Path) -> Path:
    return root / ".venv" / "bin" / "python"


def flattened(figures: Mapping[str, Any], path: Key = ()) -> Iterator[tuple[Key, float]]:
    """Yield the numbers of nested figures, each with the keys that lead to it."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from flattened(value, (*path, key))
        elif isinstance(value, int | float):
            yield (*path, key), value


def comparisons(old: list[Figures], new: list[Figures]) -> Iterator[FigureComparison]:
    """Yield a comparison of each figure that all runs have, in the order of the bench."""
    for key in old[0]:
        if all(key in run for run in [*old, *new]):
            pairs = [(before[key], after[key]) for before, after in zip(old, new, strict=True)]
            olds, news = zip(*pairs, strict=True)
            yield FigureComparison(
                ", ".join(key[:-1]), key[-1], median(olds), median(news), [_ratio(*pair) for pair in pairs]
            )


def _ratio(old: float, new: float) -> float:
    if old:
        return new / old
    return float("inf") if new else 1.0


def lines(bench: str, compared: list[FigureComparison]) -> Iterator[str]:
    """Yield a table: old, new, new / old (median of the pairs), and the least and the most of the pairs."""
    yield f"{bench:<72}{'old':>14}{'new':>14}{'new / old':>11}   least to most"
    for case, figure, old, new, ratios in compared:
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        yield f"  {case:<46}{figure:<24}{old:>14,.2f}{new:>14,.2f}{median(ratios):>11.3f}   {spread}"
