"""`make bench`: every bench in turn, one table, and the figures as JSON in .cache/bench.json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BENCHES = {
    "store": "service/benches/store_bench.py",
    "grpc": "service/benches/grpc_bench.py",
    "deploy": "benches/deploy_bench.py",
}


def main() -> None:
    """Runs the benches named on the command line, or all."""
    wanted = sys.argv[1:] or list(BENCHES)
    unknown = sorted(set(wanted) - set(BENCHES))
    if unknown:
        sys.exit(f"benches: {', '.join(unknown)}: no such bench; there are {', '.join(BENCHES)}")
    found = {}
    for name in wanted:
        print(f"bench {name} …", file=sys.stderr)
        command = [sys.executable, str(ROOT / BENCHES[name])]
        found[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for case, figures in found[name].items():
            for figure, value in figures.items():
                print(f"{name:<8}{case:<48}{figure:<22}{value:>12,.2f}")
    results = ROOT / ".cache" / "bench.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(found, indent=2))
    print(f"written to {results.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
