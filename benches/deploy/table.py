"""The figures as a table for a person, and whether they reach the goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .rounds import RUNS
from .sides import CALL_SSA_OBJECTS, LOOP_OBJECTS, Side

MIN_SPEEDUP_OVER_LOOP = 8.0
MAX_RATIO_TO_KUBECTL = {"first": 1.2, "again": 1.5}
MIN_SPEEDUP_OVER_CALL = 1.5
MAX_AGAIN_S = 10.0
LABEL_WIDTH, CELL_WIDTH = 24, 18
ROWS = {
    "seconds": ("seconds", "{:.2f}"),
    "less_empty": ("less the empty play", "{:.2f}"),
    "cpu_less_empty": ("its CPU seconds", "{:.2f}"),
    "api_calls": ("API calls", "{:.0f}"),
    "process_mib": ("MiB, its process", "{:.0f}"),
    "tree_mib": ("MiB, all processes", "{:.0f}"),
}
NOTES = (
    "Medians; in brackets how many times ours. Calls and memory are of a further pass that was not timed.",
    f"The loop: once over {LOOP_OBJECTS} objects, not counted; not over 1,000, which would take 20 minutes a run.",
    f"One call with server-side apply: up to {CALL_SSA_OBJECTS} objects.",
)
Case = Mapping[str, Any]


@dataclass(frozen=True)
class Goal:
    """A bound for one figure of the deployment; ``met`` says whether the measured one is within it."""

    figure: str
    measured: float
    bound: str
    met: bool


def table(cases: Mapping[str, Case], sides: Mapping[str, Side]) -> list[str]:
    """Return a block of lines per case and run: a row per figure, a column per side, the ratio to ours beside each."""
    head = f"{'':<{LABEL_WIDTH}}" + "".join(f"{side.title:>{CELL_WIDTH}}" for side in sides.values())
    lines = [*NOTES, head]
    for title, case in cases.items():
        for run in RUNS:
            lines += ["", f"{title}, {'first run' if run == 'first' else 'again without change'}"]
            lines += [_row(case, run, figure, list(sides)) for figure in ROWS]
            lines += _changed(case, run, sides)
    return [line.rstrip() for line in lines]


def _row(case: Case, run: str, figure: str, names: list[str]) -> str:
    label, form = ROWS[figure]
    ours = case["sides"][names[0]][run][figure]
    cells = []
    for name in names:
        value = case["sides"].get(name, {}).get(run, {}).get(figure)
        ratio = "" if value is None or not ours or name == names[0] else f" ({value / ours:.1f}x)"
        cells.append(("-" if value is None else form.format(value)) + ratio)
    return f"  {label:<{LABEL_WIDTH - 2}}" + "".join(f"{cell:>{CELL_WIDTH}}" for cell in cells)


def _changed(case: Case, run: str, sides: Mapping[str, Side]) -> Iterator[str]:
    """Yield the line that names the sides that report a change although nothing changed."""
    wrong = [sides[name].title for name, figures in case["sides"].items() if run == "again" and figures[run]["changed"]]
    if wrong:
        yield f"  says changed again: {', '.join(wrong)}"


def goals(cases: Mapping[str, Case], whole: Mapping[str, float] | None) -> list[Goal]:
    """Return every goal that these figures can be compared with."""
    results: list[Goal] = []
    for title, case in cases.items():
        for run in RUNS:
            results += _goals(title, run, case["objects"], {name: side[run] for name, side in case["sides"].items()})
    if whole:
        results.append(at_most("playbooks/deploy.yml again, seconds", whole["again"], MAX_AGAIN_S))
        results.append(at_most("playbooks/deploy.yml again, changed", whole["changed_again"], 0))
    return results


def _goals(case: str, run: str, objects: int, sides: Mapping[str, Mapping[str, float]]) -> Iterator[Goal]:
    title, ours = f"{case}, {run}", sides["release"]
    if objects == 25:
        yield at_least(f"{title}: loop / ours", sides["loop"]["seconds"] / ours["seconds"], MIN_SPEEDUP_OVER_LOOP)
    if objects >= 100:
        less_empty = ours["less_empty"]
        kubectl = sides["kubectl"]["seconds"]
        yield at_most(f"{title}: ours less the empty play / kubectl", less_empty / kubectl, MAX_RATIO_TO_KUBECTL[run])
        call = sides["call"]["less_empty"]
        yield at_least(f"{title}: one call / ours, both less the empty play", call / less_empty, MIN_SPEEDUP_OVER_CALL)


def at_least(figure: str, measured: float, bound: float) -> Goal:
    return Goal(figure, round(measured, 2), f"≥ {bound:g}", measured >= bound)


def at_most(figure: str, measured: float, bound: float) -> Goal:
    return Goal(figure, round(measured, 2), f"≤ {bound:g}", measured <= bound)


def goal_lines(results: list[Goal]) -> list[str]:
    width = max((len(goal.figure) for goal in results), default=0)
    return [
        f"{'met' if goal.met else 'NOT MET':<9}{goal.figure:<{width}}{goal.measured:>9.2f}   goal {goal.bound}"
        for goal in results
    ]
