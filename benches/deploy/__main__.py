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

from .cluster import KubectlCluster
from .manifests import memory_graph, synthetic
from .rounds import Bench
from .sides import COMMUNITY_VENV, all_sides
from .table import goal_lines, goals, table
from .tools import CACHE, HELM, KUBECTL, ROOT, build
from .whole import whole_deployment

SIZES = [10, 25, 100, 1000]


def main() -> None:
    arguments = _arguments()
    if not (COMMUNITY_VENV / "bin" / "ansible-playbook").exists():
        sys.exit(f"benches: {COMMUNITY_VENV.relative_to(ROOT)} is missing; run bin/setup bench")
    kubectl, helm = build(KUBECTL, say), build(HELM, say)
    cluster = KubectlCluster(kubectl, arguments.kubeconfig)
    whole = None if arguments.sizes else whole_deployment(cluster, arguments.rounds, say)
    bench = Bench(cluster, all_sides(kubectl, helm), arguments.rounds, say)
    cases = [] if arguments.sizes else [memory_graph()]
    figures: dict[str, Any] = {}
    try:
        for case in [*cases, *map(synthetic, arguments.sizes or SIZES)]:
            figures[case.title] = bench.measure(case)
    finally:
        # Also when a later case fails: the earlier ones took minutes.
        say("\n".join(["", *table(figures, bench.sides)]))
    results = goals(figures, whole)
    versions = {"Kubernetes": cluster.version, "kubectl": KUBECTL.version, "helm": HELM.version, **_community()}
    say("\n".join(["", *_whole_line(whole), *goal_lines(results)]))
    say(", ".join(f"{name} {version}" for name, version in versions.items()))
    rows = [asdict(goal) for goal in results]
    print(json.dumps({"versions": versions, "cases": figures, "whole": whole, "goals": rows}, indent=2))


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
    """Return the versions of the community collection and of its ansible-core."""
    (manifest,) = COMMUNITY_VENV.glob("lib/python*/site-packages/ansible_collections/kubernetes/core/MANIFEST.json")
    (core,) = COMMUNITY_VENV.glob("lib/python*/site-packages/ansible_core-*.dist-info")
    collection = json.loads(manifest.read_text())["collection_info"]["version"]
    return {
        "kubernetes.core": collection,
        "ansible-core": core.name.removeprefix("ansible_core-")[: -len(".dist-info")],
    }


def _whole_line(whole: dict[str, Any] | None) -> list[str]:
    if not whole:
        return []
    times = f"first {whole['first']:.1f} s, again {whole['again']:.1f} s"
    busy = f"CPU again {whole['again_cpu']:.1f} s beside {whole['empty_cpu']:.1f} s of an empty play"
    return [f"playbooks/deploy.yml, waited for: {times}, changed={whole['changed_again']}; {busy}"]


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"benches: {error}")
