"""The cluster around a measurement: fresh namespaces, controllers at rest, and counted requests."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OBSERVED_TIMEOUT_S = 120
# Level 6 of client-go's log is one line a response.
RESPONSE = re.compile(r'"Response" verb="(?!OPTIONS)')
SERVING = re.compile(r"Starting to serve on (\S+)")


@dataclass(frozen=True)
class KubectlCluster:
    """A cluster reached by kubectl with one kubeconfig."""

    kubectl: Path
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output.

        :raises RuntimeError: with what kubectl said, when it failed.
        """
        command = [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"kubectl {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    @property
    def version(self) -> str:
        return str(json.loads(self.run("version", "--output=json"))["serverVersion"]["gitVersion"])

    def create(self, namespace: str) -> None:
        self.run("create", "namespace", namespace)

    def delete(self, namespaces: list[str]) -> None:
        """Delete namespaces with their objects, and wait until they are deleted."""
        self.run("delete", "namespace", *namespaces, "--ignore-not-found", "--wait", "--timeout=900s")

    def settle(self, namespace: str) -> None:
        """Wait until the controllers have seen every workload: no run must compete with them.

        :raises RuntimeError: when they have not after two minutes.
        """
        deadline = time.monotonic() + OBSERVED_TIMEOUT_S
        columns = "custom-columns=generation:.metadata.generation,observed:.status.observedGeneration"
        while time.monotonic() < deadline:
            output = self.run("get", "deployments,statefulsets", "-n", namespace, "--no-headers", "-o", columns)
            if all(generation == observed for generation, observed in map(str.split, output.splitlines())):
                return
            time.sleep(0.5)
        raise RuntimeError(f"the controllers have not seen every workload of {namespace} in {OBSERVED_TIMEOUT_S} s")


class CallCounter:
    """A kubeconfig for `kubectl proxy`, and the number of requests that went through it."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self.kubeconfig = kubeconfig
        self._log = log

    def calls(self) -> int:
        """The number of requests answered so far."""
        return len(RESPONSE.findall(self._log.read_text()))


@contextmanager
def counting_calls(cluster: KubectlCluster) -> Iterator[CallCounter]:
    """The cluster behind `kubectl proxy`, which logs every request it passes on.

    All sides are counted alike, discovery included, and other users of the cluster are not counted. The server's own
    metrics could not tell them apart.
    """
    with tempfile.TemporaryDirectory() as folder:
        log, kubeconfig = Path(folder) / "proxy.log", Path(folder) / "kubeconfig"
        command = [str(cluster.kubectl), "--kubeconfig", str(cluster.kubeconfig), "proxy", "--port=0", "--v=6"]
        with log.open("w") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True) as proxy:
            try:
                assert proxy.stdout is not None
                serving = SERVING.search(proxy.stdout.readline())
                if not serving:
                    raise RuntimeError(f"kubectl proxy did not start: {log.read_text().strip()[-500:]}")
                kubeconfig.write_text(json.dumps(_kubeconfig(f"http://{serving[1]}")))
                yield CallCounter(kubeconfig, log)
            finally:
                proxy.terminate()


def _kubeconfig(server: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "counted", "cluster": {"server": server}}],
        "users": [{"name": "counted", "user": {}}],
        "contexts": [{"name": "counted", "context": {"cluster": "counted", "user": "counted"}}],
        "current-context": "counted",
    }
