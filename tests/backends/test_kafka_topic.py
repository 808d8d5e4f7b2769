"""kafka_topic against a real broker."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("kafka_topic")
WEEK_MS = 604_800_000


@pytest.fixture
def topic(module, broker):
    """A function that changes a topic of this test, which `kafka_topic` creates."""
    return partial(module, "kafka_topic", bootstrap_servers=[broker["clear"]], name=f"topic-{uuid.uuid4().hex[:8]}")


def test_a_topic_is_created_changed_and_deleted_and_each_is_done_once(topic) -> None:
    desired = {"partitions": 2, "replication_factor": 1, "configs": {"retention.ms": WEEK_MS, "preallocate": False}}
    planned = topic(**desired, check=True, diff=True)
    assert (planned["changed"], planned["action"]) == (True, "created")
    assert planned["diff"][0]["after"].startswith("partitions: 2\n")
    created = topic(**desired)
    assert (created["changed"], created["action"]) == (True, "created")
    # the broker keeps the configs of a topic's creation, also where they equal the defaults
    configs = {"retention.ms": str(WEEK_MS), "preallocate": "false"}
    assert created["topic"] == {"partitions": 2, "replication_factor": 1, "configs": configs}
    assert topic(**desired)["changed"] is False

    more = {"partitions": 4, "configs": {"retention.ms": None, "cleanup.policy": "compact,delete"}}
    planned = topic(**more, check=True, diff=True)["diff"][0]
    assert "retention.ms: '604800000'" in planned["before"]
    assert "cleanup.policy: delete (the broker's default)" in planned["before"]
    changed = topic(**more)
    assert (changed["changed"], changed["action"]) == (True, "changed")
    assert "records of a key may lie in another partition" in str(changed["warnings"])
    assert changed["topic"]["configs"] == {"cleanup.policy": "compact,delete", "preallocate": "false"}
    assert topic(**more)["changed"] is False

    assert topic(state="absent", check=True)["changed"] is True
    assert topic()["changed"] is False
    assert topic(state="absent")["action"] == "deleted"
    assert topic(state="absent")["changed"] is False


def test_a_topic_without_configs_has_the_defaults_of_the_broker(topic) -> None:
    assert topic()["topic"] == {"partitions": 1, "replication_factor": 1, "configs": {}}
    assert topic(configs={"retention.ms": WEEK_MS, "min.cleanable.dirty.ratio": "0.50"})["changed"] is False


def test_what_kafka_does_not_do_is_refused_and_nothing_is_done(topic) -> None:
    topic(partitions=3)
    shrunk = topic(partitions=2, configs={"retention.ms": 1})
    assert shrunk["msg"].endswith(
        "has 3 partitions and 2 are asked for: Kafka takes none away — ask for 3, or delete the topic with its records "
        "(state: absent) and create it again"
    )
    copied = topic(replication_factor=2, configs={"retention.ms": 1})
    assert "has replication factor 1 and 2 is asked for" in copied["msg"]
    assert topic()["topic"]["configs"] == {}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("desired", "reason"),
    [
        ({"replication_factor": 3}, "InvalidReplicationFactorError"),
        ({"configs": {"retention.ms": "a week"}}, "a week"),
        ({"configs": {"retention": "1"}}, "retention"),
    ],
    ids=["too many copies", "a bad value", "no such setting"],
)
def test_what_the_broker_refuses_is_said_and_check_mode_knows_it_too(topic, desired, reason, check) -> None:
    refused = topic(**desired, check=check)
    assert refused["failed"]
    assert reason in refused["msg"]
    assert refused["msg"].endswith("— correct what it names")
    assert topic(state="absent")["changed"] is False


def test_over_tls_with_a_password_that_is_shown_nowhere(module, broker, authority, tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(authority.certificate)
    secure = partial(
        module, "kafka_topic", bootstrap_servers=[broker["login"]], name=f"topic-{uuid.uuid4().hex[:8]}",
        security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_username="graph", timeout=20,
    )  # fmt: skip
    created = secure(sasl_password="right", kafka_ca_file=str(trusted))
    assert created["action"] == "created"
    assert "right" not in str(created)
    wrong = secure(sasl_password="much-too-wrong", kafka_ca_file=str(trusted), timeout=6)
    # kafka-python does not always read the refusal before the broker ends the connection
    assert wrong["msg"].startswith(f"Kafka at {broker['login']} ")
    assert "check" in wrong["msg"]
    assert "user name and password" in wrong["msg"]
    assert "much-too-wrong" not in str(wrong)
    unknown = secure(sasl_password="right", timeout=3)
    assert "certificate verify failed" in unknown["msg"]


def test_who_does_not_answer_is_named_with_the_reason(module) -> None:
    nobody = module("kafka_topic", bootstrap_servers=["127.0.0.1:1"], name="x", timeout=2)
    assert nobody["msg"] == (
        "Kafka at 127.0.0.1:1 does not answer (PLAINTEXT): KafkaConnectionError: 111 ECONNREFUSED — check "
        "bootstrap_servers, security_protocol, and whether the brokers run"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"security_protocol": "SASL_SSL"}, "security_protocol is SASL_SSL, which logs in — give sasl_mechanism, and"),
        ({"partitions": 0}, "partitions is 0 — give 1 or more"),
        ({"credentials_secret": "x"}, "missing parameter(s) required by 'credentials_secret': namespace"),
        ({"security_protocol": "SSL", "kafka_ca_file": "/nowhere"}, "/nowhere cannot be read"),
    ],
)
def test_arguments_that_cannot_work_are_refused_before_anything_is_asked(module, arguments, sentence) -> None:
    assert sentence in module("kafka_topic", bootstrap_servers=["127.0.0.1:1"], name="x", **arguments)["msg"]
