"""The deployment against a `kubernetes.core.k8s` loop, one such call, `kubectl apply --server-side` and Helm.

    python -m benches.deploy [--sizes 10,100] [--rounds 3] [--kubeconfig FILE]

Prints the figures as JSON; what goes on and a table for a person go to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .cluster import Cluster
from .manifests import memory_graph, synthetic
from .rounds import Bench
from .sides import THEIRS, all_sides
from .table import goal_lines, goals, table
from .tools import CACHE, HELM, KUBECTL, ROOT, built
from .whole import whole_deployment

SIZES = [10, 25, 100, 1000]


def main() -> None:
    given = _arguments()
    if not (THEIRS / "bin" / "ansible-playbook").exists():
        sys.exit(f"benches: {THEIRS.relative_to(ROOT)} is missing; run bin/setup bench")
    kubectl, helm = built(KUBECTL, say), built(HELM, say)
    cluster = Cluster(kubectl, given.kubeconfig)
    whole = None if given.sizes else whole_deployment(cluster, given.rounds, say)
    bench = Bench(cluster, all_sides(kubectl, helm), given.rounds, say)
    cases = [] if given.sizes else [memory_graph()]
    figures = {case.title: bench.measured(case) for case in [*cases, *map(synthetic, given.sizes or SIZES)]}
    reached = goals(figures, whole)
    found: dict[str, Any] = {
        "versions": {"Kubernetes": cluster.version, "kubectl": KUBECTL.version, "helm": HELM.version, **_community()},
        "cases": figures,
        "whole": whole,
        "goals": [asdict(goal) for goal in reached],
    }
    say("\n".join(_readable(found, figures, bench, goal_lines(reached))))
    print(json.dumps(found, indent=2))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], prog="python -m benches.deploy")
    parser.add_argument("--sizes", type=_sizes, help="these synthetic releases alone, as 10,100 (default: everything)")
    parser.add_argument("--rounds", type=_positive, default=3, help="how often each side is measured (default: 3)")
    default = CACHE / "memory-graph.kubeconfig"
    parser.add_argument("--kubeconfig", type=Path, default=default, help="the cluster (default: that of make deploy)")
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def _sizes(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _community() -> dict[str, str]:
    """Versions of what the bench's virtual environment compares with."""
    (manifest,) = THEIRS.glob("lib/python*/site-packages/ansible_collections/kubernetes/core/MANIFEST.json")
    (core,) = THEIRS.glob("lib/python*/site-packages/ansible_core-*.dist-info")
    collection = json.loads(manifest.read_text())["collection_info"]["version"]
    return {
        "kubernetes.core": collection,
        "ansible-core": core.name.removeprefix("ansible_core-")[: -len(".dist-info")],
    }


def _readable(found: dict[str, Any], figures: dict[str, Any], bench: Bench, reached: list[str]) -> list[str]:
    lines = ["", ", ".join(f"{name} {version}" for name, version in found["versions"].items())]
    lines += table(figures, bench.sides)
    if found["whole"]:
        whole = found["whole"]
        lines += ["", f"playbooks/deploy.yml, waited for: first {whole['first']:.1f} s, again {whole['again']:.1f} s,"]
        lines[-1] += f" changed={whole['changed_again']}"
    return [*lines, "", *reached]


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"benches: {error}")
