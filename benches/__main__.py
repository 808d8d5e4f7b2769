"""`make bench`: the benches in turn, one table, and the figures as JSON in .cache/bench.json.

python -m benches [store] [grpc] [stream] [neo4j] [kafka] [deploy] [walk] [endurance]
python -m benches deploy --sizes 10,100   options go to the one bench named
python -m benches store neo4j --beside CHECKOUT [--pairs 2]
                                          both checkouts in turn, and the ratio of their figures in .cache/beside.json
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import beside

ROOT = Path(__file__).parent.parent
BENCHES = {
    "store": ["service/benches/store_bench.py"],
    "grpc": ["service/benches/grpc_bench.py"],
    "stream": ["service/benches/stream_bench.py"],
    "neo4j": ["service/benches/neo4j_bench.py"],
    "kafka": ["service/benches/kafka_bench.py"],
    "deploy": ["-m", "benches.deploy"],
    "walk": ["service/benches/walk_bench.py"],
    "endurance": ["service/benches/endurance_bench.py"],
}
BY_NAME = {"walk", "endurance"}
"""A million nodes, and a quarter of an hour of load: they run only when they are named."""
NEEDED = ("psutil",)
"""Packages that the benches import and a deployment does not install."""
PRINTS_ITSELF = {"deploy"}  # its table has a column for each side


def main() -> None:
    """Run the benches named on the command line, else all but those :data:`BY_NAME`."""
    arguments = sys.argv[1:]
    first_option = next((at for at, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names = arguments[:first_option]
    parser = argparse.ArgumentParser(prog="benches", add_help=False, allow_abbrev=False)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--pairs", type=int, default=2)
    paired, options = parser.parse_known_args(arguments[first_option:])
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        sys.exit(f"benches: {', '.join(unknown)}: no such bench; there are {', '.join(BENCHES)}")
    if options and len(names) != 1:
        sys.exit(f"benches: {options[0]}: name the one bench that it is for first: {', '.join(BENCHES)}")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"benches: {', '.join(missing)} is not installed: run `make bench`, or bin/setup dev first")
    if {"-h", "--help"} & set(options):
        sys.exit(subprocess.call([sys.executable, *BENCHES[names[0]], *options], cwd=ROOT))
    names = names or [name for name in BENCHES if name not in BY_NAME]
    failed = run_beside(names, options, paired.beside, paired.pairs) if paired.beside else run(names, options)
    if failed:
        sys.exit(f"benches: failed: {', '.join(failed)}")


def run(names: list[str], options: list[str]) -> list[str]:
    """Run the benches, show and store their figures, and return the names of those that failed."""
    figures, failed = {}, []
    for name in names:
        print(f"bench {name} …", file=sys.stderr)
        command = [sys.executable, *BENCHES[name], *options]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            failed.append(name)
            continue
        figures[name] = json.loads(done.stdout)
        if name not in PRINTS_ITSELF:
            show(name, figures[name])
    store("bench.json", figures)
    return failed


def run_beside(names: list[str], options: list[str], other: Path, pairs: int) -> list[str]:
    """Run the benches in this checkout and in another, show and store both figures, and return those that failed."""
    compared, failed = {}, []
    for name in names:
        print(f"bench {name} …", file=sys.stderr)
        try:
            comparisons = beside.compare([*BENCHES[name], *options], other, pairs)
        except RuntimeError as error:
            print(f"benches: {error}", file=sys.stderr)
            failed.append(name)
            continue
        print("\n".join(beside.lines(name, comparisons)), flush=True)
        compared[name] = [comparison._asdict() for comparison in comparisons]
    store("beside.json", compared)
    return failed


def show(name: str, cases: dict[str, dict[str, float]]) -> None:
    for case, figures in cases.items():
        for figure, value in figures.items():
            print(f"{name:<8}{case:<48}{figure:<22}{value:>12,.2f}")


def store(file: str, figures: Mapping[str, Any]) -> None:
    """Write the figures into the folder .cache; none leave the file as it is."""
    if figures:
        path = ROOT / ".cache" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(figures, indent=2))
        print(f"written to {path.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
