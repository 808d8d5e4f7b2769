"""Run a command beside a control plane with one simulated node, with KUBECONFIG and PATH set for it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import nodes, programs
from .cluster import running
from .processes import run_beside


def say(text: str) -> None:
    print(f"{'newest':<12}{text}", flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.control_plane", description=__doc__)
    parser.add_argument(
        "--kubernetes", required=True, metavar="vX.Y.Z", help="a version that local_cluster has modules of"
    )
    parser.add_argument("--if-built", action="store_true", help="do nothing where its programs are not in the cache")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command to run")
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_caught: sys.exit(143))  # unwinds everything that has to be stopped
    missing = programs.missing(options.kubernetes)
    if missing and options.if_built:
        say(f"not tested: {', '.join(missing)} not in {programs.cached()}; make test-newest builds them, once")
        return 0
    try:
        if missing:
            programs.build(options.kubernetes)
        with tempfile.TemporaryDirectory(prefix="control-plane-") as folder:
            return run_with_control_plane(options.kubernetes, Path(folder) / "run", options.command)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        say(str(error))
        return 1


def run_with_control_plane(version: str, folder: Path, command: list[str]) -> int:
    folder.mkdir(mode=0o700)
    began = time.monotonic()
    with running(version, folder) as control_plane:
        nodes.add(control_plane.kubectl, [nodes.node("simulated")])
        say(f"Kubernetes {version} with one simulated node is ready after {time.monotonic() - began:.1f} s")
        os.environ.update(
            KUBECONFIG=str(control_plane.kubeconfig),
            PATH=f"{control_plane.bin}{os.pathsep}{os.environ['PATH']}",
            MEMORY_GRAPH_API_SERVER_PID=str(control_plane.api_server.pid_file),
        )
        return run_beside(control_plane.programs, command)


if __name__ == "__main__":
    sys.exit(main())
