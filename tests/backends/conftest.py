"""Modules of the collection as Ansible runs them, against a real broker and a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kafka_server import KafkaCluster
from support.neo4j_server import Neo4jServer
from support.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "collections"))
sys.path.append(str(ROOT / "collections/ansible_collections/llm_devops/memory_graph/tests/integration"))

from certificates import LoopbackAuthority  # noqa: E402

Module = Callable[..., dict[str, Any]]
LOGIN = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},LOGIN://127.0.0.1:{login}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL
listener.name.login.sasl.enabled.mechanisms=PLAIN
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_graph="right";
listener.name.login.ssl.keystore.type=PEM
listener.name.login.ssl.keystore.location={keystore}
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"""


@pytest.fixture
def module() -> Module:
    """A function that runs a module and returns its result. `check` and `diff` are as in ansible-playbook."""

    def run(name: str, /, *, check: bool = False, diff: bool = False, **arguments: Any) -> dict[str, Any]:
        parameters = {**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}
        done = subprocess.run(
            [sys.executable, "-m", f"ansible_collections.llm_devops.memory_graph.plugins.modules.{name}"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": parameters}), capture_output=True, text=True, timeout=120,
            check=False, env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
        )  # fmt: skip
        assert done.stdout.lstrip().startswith("{"), done.stdout + done.stderr
        assert done.stderr == ""
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run


@pytest.fixture(scope="session")
def authority() -> LoopbackAuthority:
    return LoopbackAuthority()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: LoopbackAuthority) -> Iterator[dict[str, str]]:
    """The addresses of a broker: in clear, and over TLS, where user graph has the password "right"."""
    folder = tmp_path_factory.mktemp("kafka")
    cluster = KafkaCluster(folder / "broker")
    (server,) = cluster.brokers
    settings = server.home / "server.properties"
    controller = settings.read_text().partition("CONTROLLER://127.0.0.1:")[2].partition("\n")[0]
    login, keystore = free_port(), authority.chain(folder)
    text = LOGIN.format(port=server.port, controller=controller, login=login, keystore=keystore)
    settings.write_text(settings.read_text() + text)
    cluster.start()
    yield {"clear": cluster.bootstrap, "login": f"localhost:{login}"}
    cluster.stop()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    """An empty database."""
    server = Neo4jServer(tmp_path_factory.mktemp("neo4j"))
    server.start()
    yield server
    server.stop()
