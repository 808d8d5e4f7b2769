"""`make bench`: the benches in turn, one table, and the figures as JSON in .cache/bench.json.

python -m benches [store] [grpc] [stream] [neo4j] [kafka] [deploy] [walk] [endurance]
python -m benches deploy --sizes 10,100   options go to the one bench named
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

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
    """Run the benches named on the command line, else all but those :data:`BY_NAME`; go on after one that failed."""
    arguments = sys.argv[1:]
    first_option = next((at for at, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = arguments[:first_option], arguments[first_option:]
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        sys.exit(f"benches: {', '.join(unknown)}: no such bench; there are {', '.join(BENCHES)}")
    if options and len(names) != 1:
        sys.exit(f"benches: {options[0]}: name the one bench that it is for first: {', '.join(BENCHES)}")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"benches: {', '.join(missing)} is not installed: run `make bench`, or bin/setup dev first")
    figures, failed = {}, []
    for name in names or [name for name in BENCHES if name not in BY_NAME]:
        print(f"bench {name} …", file=sys.stderr)
        command = [sys.executable, *BENCHES[name], *options]
        if {"-h", "--help"} & set(options):
            sys.exit(subprocess.call(command, cwd=ROOT))
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            failed.append(name)
            continue
        figures[name] = json.loads(done.stdout)
        if name not in PRINTS_ITSELF:
            show(name, figures[name])
    if figures:
        results = ROOT / ".cache" / "bench.json"
        results.parent.mkdir(exist_ok=True)
        results.write_text(json.dumps(figures, indent=2))
        print(f"written to {results.relative_to(ROOT)}", file=sys.stderr)
    if failed:
        sys.exit(f"benches: failed: {', '.join(failed)}")


def show(name: str, cases: dict[str, dict[str, float]]) -> None:
    for case, figures in cases.items():
        for figure, value in figures.items():
            print(f"{name:<8}{case:<48}{figure:<22}{value:>12,.2f}")


if __name__ == "__main__":
    main()
