"""A real Kafka for tests: brokers of a KRaft cluster as local processes, started with the first test that asks."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from support.kafka_security import Security
from support.maven import SHORT_LIVED, JarSet, jars, program
from support.processes import Server, free_ports

KAFKA = JarSet(
    "kafka",
    ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"),
    "6953bfc4d23c24004ed3d44b741c7a4538a923f476f85ff7cf086e87ead4b49c",
)
_START_LIMIT_S = 120
_HEAP = "-Xmx512m"
_CONFIGURATION = """
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=6000
"""
_LOGGING = """
status=error
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
"""


class Broker:
    """One broker, which is a controller too, and its data, which outlive `kill` and are there again after `start`."""

    def __init__(self, home: Path, id: int, port: int) -> None:
        self.home = home
        self.id = id
        self.port = port
        self._libs = jars(KAFKA)
        self._server: Server | None = None

    def format(
        self, cluster: str, voters: str, controller_port: int, copies: int, security: Security | None = None
    ) -> None:
        """Writes its configuration, and makes its data directory one of the cluster."""
        self.home.mkdir(parents=True)
        (self.home / "log4j2.properties").write_text(_LOGGING)
        listeners = f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller_port}"
        configuration = _CONFIGURATION.format(
            id=self.id,
            voters=voters,
            listeners=listeners,
            data=self.home / "data",
            copies=copies,
            in_sync=min(2, copies),
        )
        configuration += security.configuration(listeners) if security else ""
        (self.home / "server.properties").write_text(configuration)
        subprocess.run(
            [*self._java("-Xmx128m"), "kafka.tools.StorageTool", "format", "-t", cluster,
             "-c", str(self.home / "server.properties"), *(security.credentials if security else ())],
            capture_output=True, timeout=_START_LIMIT_S, check=True,
        )  # fmt: skip

    def launch(self) -> None:
        """Starts it and does not wait. For the main thread: the broker ends with the thread that starts it."""
        self._server = Server(
            [*self._java(_HEAP), "kafka.Kafka", str(self.home / "server.properties")],
            self.home / "console.log", ready="Kafka Server started", env=dict(os.environ), seconds=_START_LIMIT_S,
            wait=False,
        )  # fmt: skip

    def wait_ready(self) -> None:
        assert self._server is not None
        self._server.wait_ready()

    def kill(self) -> None:
        """kill -9."""
        assert self._server is not None
        self._server.kill()

    def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL after so many seconds."""
        if self._server is not None:
            self._server.stop(seconds)

    def _java(self, heap: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile=file://{self.home}/log4j2.properties"
        return [program("java"), *SHORT_LIVED, heap, logging, "-cp", f"{self._libs}/*"]


class KafkaCluster:
    """One broker, or several that keep a copy of everything each. security: listeners of a single one besides."""

    def __init__(self, home: Path, brokers: int = 1, security: Security | None = None) -> None:
        free = free_ports(2 * brokers)
        ports = list(zip(free[::2], free[1::2], strict=True))
        voters = ",".join(f"{id}@127.0.0.1:{controller}" for id, (_, controller) in enumerate(ports, 1))
        random = b"k" + uuid.uuid4().bytes[1:]  # the first letter is no hyphen: it would look like an option
        cluster = base64.urlsafe_b64encode(random).decode().rstrip("=")
        self.brokers = [Broker(home / str(id), id, port) for id, (port, _) in enumerate(ports, 1)]
        for broker, (_, controller) in zip(self.brokers, ports, strict=True):
            broker.format(cluster, voters, controller, copies=min(3, brokers), security=security)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)

    def start(self, brokers: Sequence[Broker] | None = None) -> None:
        """Returns once all of them, or those named, answer. For the main thread."""
        starting = self.brokers if brokers is None else brokers
        for broker in starting:
            broker.launch()
        for broker in starting:
            broker.wait_ready()

    def stop(self) -> None:
        """Stop all brokers. Several are killed: without a majority the last ones could not shut down in order."""
        for broker in self.brokers:
            broker.stop(0 if len(self.brokers) > 1 else 60)
