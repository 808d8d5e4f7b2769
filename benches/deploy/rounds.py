"""A case measured: every side in turn in every round, each first run in a fresh namespace."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .cluster import Cluster, counted
from .manifests import NAMESPACE, Case
from .measure import Command, Ran, observed, timed
from .sides import LOOP_OBJECTS, OURS, THEIRS, Place, Side, changed, empty_play
from .tools import Say

RUNS = ("first", "again")
# A thousand objects are slow enough for two rounds to agree.
MANY_OBJECTS, MANY_ROUNDS = 1000, 2
Figures = dict[str, float | None]


@dataclass
class Series:
    """What the runs of one side in one case took, by run."""

    runs: dict[str, list[Ran]] = field(default_factory=lambda: {run: [] for run in RUNS})
    changed: dict[str, int | None] = field(default_factory=dict)
    counted: dict[str, Figures] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """The cluster, the sides and how often each is measured."""

    cluster: Cluster
    sides: dict[str, Side]
    rounds: int
    say: Say

    def measured(self, case: Case) -> dict[str, Any]:
        """Medians of one case: `sides`, per side and run the figures; `empty`, seconds and CPU of their empty plays.

        API calls and memory come from a further pass that is not timed. A figure that was not measured is None.
        """
        sides = {name: side for name, side in self.sides.items() if len(case.objects) <= side.most}
        rounds = min(self.rounds, MANY_ROUNDS) if len(case.objects) >= MANY_OBJECTS else self.rounds
        series = {name: Series() for name in sides}
        empty: dict[Path, list[Ran]] = {OURS: [], THEIRS: []}
        for turn in range(rounds):
            now = [name for name in sides if not (turn and self._once(name, case))]
            # Who goes first has the rested machine: another one in every round.
            now = now[turn % len(now) :] + now[: turn % len(now)]
            self.say(f"{case.title}: round {turn + 1} of {rounds}")
            with tempfile.TemporaryDirectory() as folder:
                for venv, took in empty.items():
                    took.append(timed(empty_play(venv, Place(Path(folder), "", self.cluster.kubeconfig))))
            for name, run, command in self._runs(case, now, self.cluster.kubeconfig):
                done = timed(command)
                series[name].runs[run].append(done)
                series[name].changed[run] = changed(done.output)
        self._count(case, series, [name for name in sides if not self._once(name, case)])
        return {
            "objects": len(case.objects),
            "rounds": {name: len(found.runs["first"]) for name, found in series.items()},
            "empty": {name: _empty(side, empty) for name, side in sides.items()},
            "sides": {name: _figures(found, _empty(sides[name], empty)) for name, found in series.items()},
        }

    def _once(self, name: str, case: Case) -> bool:
        """The loop over 100 objects takes minutes a run: one round, not counted."""
        return name == "loop" and len(case.objects) >= LOOP_OBJECTS

    def _runs(self, case: Case, names: list[str], kubeconfig: Path) -> Iterator[tuple[str, str, Command]]:
        """First and second run of each side; the namespaces are deleted after the last."""
        made: list[str] = []
        try:
            for name in names:
                namespace = f"{NAMESPACE}-{name.replace('_', '-')}"
                self.cluster.delete([namespace])
                made.append(namespace)
                self.cluster.create(namespace)
                with tempfile.TemporaryDirectory() as folder:
                    command = self.sides[name].command(case.into(namespace), Place(Path(folder), namespace, kubeconfig))
                    for run in RUNS:
                        yield name, run, command
                        self.cluster.settle(namespace)
        finally:
            if made:
                self.cluster.delete(made)

    def _count(self, case: Case, series: dict[str, Series], names: list[str]) -> None:
        self.say(f"{case.title}: API calls and memory")
        with counted(self.cluster) as api:
            for name, run, command in self._runs(case, names, api.kubeconfig):
                before = api.calls()
                memory = observed(command)
                calls = api.calls() - before
                series[name].counted[run] = {
                    "api_calls": calls,
                    "process_mib": round(memory.process, 1),
                    "tree_mib": round(memory.tree, 1),
                }


def _empty(side: Side, empty: dict[Path, list[Ran]]) -> Figures | None:
    return _medians(empty[side.venv]) if side.venv else None


def _medians(runs: list[Ran]) -> Figures:
    return {
        "seconds": round(median(run.seconds for run in runs), 3),
        "cpu_seconds": round(median(run.cpu_seconds for run in runs), 3),
    }


def _figures(series: Series, empty: Figures | None) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for run in RUNS:
        took = _medians(series.runs[run])
        less = {
            key: round(value - ((empty or {}).get(key) or 0.0), 3) for key, value in took.items() if value is not None
        }
        found[run] = {
            **took,
            "less_empty": less["seconds"],
            "cpu_less_empty": less["cpu_seconds"],
            "changed": series.changed[run],
            **series.counted.get(run, {"api_calls": None, "process_mib": None, "tree_mib": None}),
        }
    return found
