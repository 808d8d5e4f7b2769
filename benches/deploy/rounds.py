"""The measurement of a case: every side in turn in every round, each first run in a fresh namespace."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .cluster import KubectlCluster, counting_calls
from .manifests import NAMESPACE, Case
from .measure import Command, Timing, measure_memory, time_command
from .sides import COMMUNITY_VENV, LOOP_OBJECTS, OUR_VENV, Side, Workspace, changed, empty_play
from .tools import Say

RUNS = ("first", "again")
# A thousand objects are slow enough for two rounds to agree.
MANY_OBJECTS, MANY_OBJECTS_ROUNDS = 1000, 2
Figures = dict[str, float | None]


@dataclass
class Series:
    """The timings, changes and counts of one side in one case, by run."""

    runs: dict[str, list[Timing]] = field(default_factory=lambda: {run: [] for run in RUNS})
    changed: dict[str, int | None] = field(default_factory=dict)
    counted: dict[str, Figures] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """The cluster, the sides and how often each is measured."""

    cluster: KubectlCluster
    sides: dict[str, Side]
    rounds: int
    say: Say

    def measure(self, case: Case) -> dict[str, Any]:
        """Return the medians of a case: `sides` are the figures by side and run, `empty` those of the empty play.

        API calls and memory come from a further pass that is not timed. A missing figure is None.
        """
        sides = {name: side for name, side in self.sides.items() if len(case.objects) <= side.max_objects}
        rounds = min(self.rounds, MANY_OBJECTS_ROUNDS) if len(case.objects) >= MANY_OBJECTS else self.rounds
        series = {name: Series() for name in sides}
        empty: dict[Path, list[Timing]] = {OUR_VENV: [], COMMUNITY_VENV: []}
        for turn in range(rounds):
            order = [name for name in sides if not (turn and self._runs_once(name, case))]
            # Who goes first has the rested machine: another one in every round.
            order = order[turn % len(order) :] + order[: turn % len(order)]
            self.say(f"{case.title}: round {turn + 1} of {rounds}")
            with tempfile.TemporaryDirectory() as folder:
                for venv, timings in empty.items():
                    timings.append(time_command(empty_play(venv, Workspace(Path(folder), "", self.cluster.kubeconfig))))
            for name, run, command in self._runs(case, order, self.cluster.kubeconfig):
                timing = time_command(command)
                series[name].runs[run].append(timing)
                series[name].changed[run] = changed(timing.output)
        self._count(case, series, [name for name in sides if not self._runs_once(name, case)])
        return {
            "objects": len(case.objects),
            "rounds": {name: len(measured.runs["first"]) for name, measured in series.items()},
            "empty": {name: _empty(side, empty) for name, side in sides.items()},
            "sides": {name: _figures(measured, _empty(sides[name], empty)) for name, measured in series.items()},
        }

    def _runs_once(self, name: str, case: Case) -> bool:
        """Whether the side gets one round, not counted: the loop over 100 objects takes minutes a run."""
        return name == "loop" and len(case.objects) >= LOOP_OBJECTS

    def _runs(self, case: Case, names: list[str], kubeconfig: Path) -> Iterator[tuple[str, str, Command]]:
        """Yield the first and the second run of each side, and delete the namespaces after the last."""
        namespaces: list[str] = []
        try:
            for name in names:
                namespace = f"{NAMESPACE}-{name.replace('_', '-')}"
                self.cluster.delete([namespace])
                namespaces.append(namespace)
                self.cluster.create(namespace)
                with tempfile.TemporaryDirectory() as folder:
                    workspace = Workspace(Path(folder), namespace, kubeconfig)
                    command = self.sides[name].command(case.into(namespace), workspace)
                    for run in RUNS:
                        yield name, run, command
                        self.cluster.settle(namespace)
        finally:
            if namespaces:
                self.cluster.delete(namespaces)

    def _count(self, case: Case, series: dict[str, Series], names: list[str]) -> None:
        self.say(f"{case.title}: API calls and memory")
        with counting_calls(self.cluster) as api:
            for name, run, command in self._runs(case, names, api.kubeconfig):
                before = api.calls()
                memory = measure_memory(command)
                calls = api.calls() - before
                series[name].counted[run] = {
                    "api_calls": calls,
                    "process_mib": round(memory.process, 1),
                    "tree_mib": round(memory.tree, 1),
                }


def _empty(side: Side, empty: dict[Path, list[Timing]]) -> Figures | None:
    return _medians(empty[side.venv]) if side.venv else None


def _medians(runs: list[Timing]) -> Figures:
    return {
        "seconds": round(median(run.seconds for run in runs), 3),
        "cpu_seconds": round(median(run.cpu_seconds for run in runs), 3),
    }


def _figures(series: Series, empty: Figures | None) -> dict[str, Figures]:
    figures: dict[str, Figures] = {}
    for run in RUNS:
        medians = _medians(series.runs[run])
        less = {
            key: round(value - ((empty or {}).get(key) or 0.0), 3)
            for key, value in medians.items()
            if value is not None
        }
        figures[run] = {
            **medians,
            "less_empty": less["seconds"],
            "cpu_less_empty": less["cpu_seconds"],
            "changed": series.changed[run],
            **series.counted.get(run, {"api_calls": None, "process_mib": None, "tree_mib": None}),
        }
    return figures
