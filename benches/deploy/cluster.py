"""The cluster beside the measuring: fresh namespaces, controllers that came to rest, and requests counted."""

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

SETTLE_SECONDS = 120
# Level 6 of client-go's log is one line a response.
RESPONSE = re.compile(r'"Response" verb="(?!OPTIONS)')
SERVING = re.compile(r"Starting to serve on (\S+)")


@dataclass(frozen=True)
class Cluster:
    """What kubectl can say and do with one kubeconfig."""

    kubectl: Path
    kubeconfig: Path

    def run(self, *arguments: str, given: str | None = None) -> str:
        """The output of kubectl.

        :raises RuntimeError: with what kubectl said, when it failed.
        """
        command = [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"kubectl {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    @property
    def version(self) -> str:
        return str(json.loads(self.run("version", "--output=json"))["serverVersion"]["gitVersion"])

    def create(self, namespace: str) -> None:
        self.run("create", "namespace", namespace)

    def delete(self, namespaces: list[str]) -> None:
        """Deletes namespaces with all they hold, and waits until they are gone."""
        self.run("delete", "namespace", *namespaces, "--ignore-not-found", "--wait", "--timeout=900s")

    def settle(self, namespace: str) -> None:
        """Waits until the controllers have seen every workload, so that no run competes with them.

        :raises RuntimeError: when they have not after two minutes.
        """
        until = time.monotonic() + SETTLE_SECONDS
        columns = "custom-columns=made:.metadata.generation,seen:.status.observedGeneration"
        while time.monotonic() < until:
            said = self.run("get", "deployments,statefulsets", "-n", namespace, "--no-headers", "-o", columns)
            if all(made == seen for made, seen in (line.split() for line in said.splitlines())):
                return
            time.sleep(0.5)
        raise RuntimeError(f"the controllers have not seen every workload of {namespace} in {SETTLE_SECONDS} s")


class Counted:
    """A kubeconfig whose requests can be counted."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self.kubeconfig = kubeconfig
        self._log = log

    def calls(self) -> int:
        """Requests answered so far."""
        return len(RESPONSE.findall(self._log.read_text()))


@contextmanager
def counted(cluster: Cluster) -> Iterator[Counted]:
    """The cluster behind `kubectl proxy`, which logs every request it passes on.

    So all sides are counted alike, discovery included, and nothing else that uses the cluster is. The server's own
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
                yield Counted(kubeconfig, log)
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
