"""Brokers that ask who is there and show a certificate of a CA of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.authority import LocalhostAuthority
from support.cli import run_cli
from support.kafka_events import event_id, quick_records
from support.kafka_security import PASSWORD, USER, Security
from support.kafka_server import KafkaCluster
from support.kafka_topics import new_topic, produce, read_all
from support.server import Serve
from support.worker import Stored, Work, until

pytestmark = pytest.mark.xdist_group("kafka-secured")


class SecuredBroker:
    """A broker. clear: where a test itself may speak to it."""

    def __init__(self, clear: str, security: Security) -> None:
        self.clear = clear
        self._security = security

    def settings(self, protocol: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """Return the settings of an operator."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": getattr(self._security, protocol.lower()),
            "KAFKA_SECURITY_PROTOCOL": protocol,
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
        }
        return settings | ({"KAFKA_CA_FILE": str(self._security.ca)} if protocol.endswith("SSL") else {})


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    home = tmp_path_factory.mktemp("secured")
    security = Security(home / "security")
    cluster = KafkaCluster(home / "cluster", security=security)
    cluster.start()
    yield SecuredBroker(cluster.bootstrap, security)
    cluster.stop()


def test_a_worker_reads_stores_gives_up_publishes_and_is_looked_at(
    secured: SecuredBroker, work: Work, group: str, tmp_path: Path
) -> None:
    topic = new_topic(secured.clear, partitions=2)
    new_topic(secured.clear, f"{topic}-dlq", partitions=1)
    feed = new_topic(secured.clear, partitions=1)
    produce(secured.clear, topic, [*quick_records(range(50)), (b"key", b"no json")])
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    settings = secured.settings("SASL_SSL") | {
        "KAFKA_GROUP": group,
        "KAFKA_TOPICS": f"{topic}=llm-telemetry-events",
        "KAFKA_SASL_PASSWORD": "",
        "KAFKA_SASL_PASSWORD_FILE": str(password),
    }
    worker = work(settings["KAFKA_BOOTSTRAP_SERVERS"], topic, **{**settings, "KAFKA_EVENTS_TOPIC": feed})

    until(lambda: run_cli("worker", "status", "--json", **settings).json["lag"] == 0)
    status = run_cli("worker", "status", "--json", **settings).json
    assert (status["state"], status["members"], status["dead_lettered"]) == ("stable", 1, {topic: 1})
    (dead_letter,) = run_cli("dlq", "list", "--json", **settings).json["letters"]
    assert dead_letter["reason"].startswith("undecodable")
    assert run_cli("dlq", "redrive", "--all", **settings).code == 0
    until(
        lambda: (
            [dead_letter["retries"] for dead_letter in run_cli("dlq", "list", "--json", **settings).json["letters"]]
            == [1]
        )
    )
    until(lambda: any(event_id(0).encode() in message.value() for message in read_all(secured.clear, feed)))
    assert worker.stop() == 0
    assert len(Stored(worker.data).events) == 50
    assert PASSWORD not in "".join(worker.output)


@pytest.mark.parametrize(("protocol", "mechanism"), [("SASL_PLAINTEXT", "SCRAM-SHA-512"), ("SASL_SSL", "PLAIN")])
def test_other_ways_to_say_who_one_is(secured: SecuredBroker, protocol: str, mechanism: str) -> None:
    topic = new_topic(secured.clear, partitions=1)
    settings = secured.settings(protocol, mechanism) | {"KAFKA_TOPICS": f"{topic}=llm-telemetry-events"}
    assert run_cli("worker", "status", "--json", **settings).json["lag"] == 0


@pytest.mark.parametrize(
    ("mechanism", "password", "reason"),
    [
        ("SCRAM-SHA-512", "guessed", "invalid credentials"),
        ("PLAIN", "guessed", "Invalid username or password"),
        ("SCRAM-SHA-256", PASSWORD, "broker's supported mechanisms: SCRAM-SHA-512,PLAIN"),
    ],
)
def test_who_is_refused_is_told_which_user_and_which_settings(
    secured: SecuredBroker, mechanism: str, password: str, reason: str
) -> None:
    settings = secured.settings("SASL_SSL", mechanism) | {"KAFKA_SASL_PASSWORD": password}
    ended = run_cli("worker", "status", **settings)
    assert ended.code == 4
    sentence = refused(settings["KAFKA_BOOTSTRAP_SERVERS"]).fullmatch(ended.err)
    assert sentence
    assert reason in sentence[1]
    assert password not in ended.err


def test_a_worker_that_is_refused_says_so_and_ends(secured: SecuredBroker, work: Work) -> None:
    settings = secured.settings("SASL_SSL") | {"KAFKA_SASL_PASSWORD": "guessed"}
    brokers = settings["KAFKA_BOOTSTRAP_SERVERS"]
    worker = work(brokers, "some", ready=False, **settings)
    assert worker.wait() == 4
    assert refused(brokers).fullmatch(worker.output[-1])
    assert "guessed" not in "".join(worker.output)


def refused(brokers: str) -> re.Pattern[str]:
    return re.compile(
        rf"memory-graph: the Kafka brokers {brokers} refuse user {USER} \((.+)\): set KAFKA_SASL_USERNAME,"
        r" KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM to what they know\n"
    )


@pytest.mark.parametrize("has_ca_file", [True, False])
def test_a_certificate_of_an_unknown_authority_is_refused(
    secured: SecuredBroker, tmp_path: Path, has_ca_file: bool
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(LocalhostAuthority().pem)
    settings = secured.settings("SASL_SSL") | {"KAFKA_CA_FILE": str(other) if has_ca_file else ""}
    ended = run_cli("worker", "status", **settings)
    trusted = f"KAFKA_CA_FILE={other}" if has_ca_file else "this system"
    assert ended.code == 4
    assert ended.err == (
        f"memory-graph: the certificate of the Kafka brokers {settings['KAFKA_BOOTSTRAP_SERVERS']} is of no CA that"
        f" {trusted} trusts, or for other names: set KAFKA_CA_FILE to their CAs, and KAFKA_BOOTSTRAP_SERVERS to names"
        " in their certificates\n"
    )


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("KAFKA_SASL_PASSWORD_FILE", "KAFKA_SASL_PASSWORD_FILE={} is empty"),
        ("KAFKA_CA_FILE", "KAFKA_CA_FILE={} holds no certificate in PEM form"),
    ],
)
def test_what_cannot_be_right_is_not_tried(tmp_path: Path, serve: Serve, setting: str, sentence: str) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_USERNAME": USER,
        "KAFKA_SASL_PASSWORD": PASSWORD if setting == "KAFKA_CA_FILE" else "",
        setting: str(empty),
    }
    status = run_cli("worker", "status", **settings)
    assert (status.code, status.err) == (2, f"memory-graph: {sentence.format(empty)}\n")
    server = serve(ready=False, **settings)
    assert server.wait() == 2
    assert server.output == [f"memory-graph: {sentence.format(empty)}\n"]
