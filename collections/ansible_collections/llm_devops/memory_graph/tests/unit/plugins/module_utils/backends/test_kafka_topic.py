# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The plan that makes a topic as specified, and the calls of the client that carry it out."""

from __future__ import annotations

import logging
from functools import partial

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._kafka_admin import (
    KafkaLogin,
    Topics,
    _explained,
    _LastErrorHandler,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._kafka_topic import (
    Setting,
    Topic,
    TopicPlan,
    TopicSpec,
    absent,
    await_shown,
    present,
    same,
    text,
)
from hypothesis import given
from hypothesis import strategies as st

LIVE = Topic(
    12,
    3,
    {
        "retention.ms": Setting("604800000", is_own=True, type="LONG"),
        "cleanup.policy": Setting("delete", type="LIST"),
        "min.cleanable.dirty.ratio": Setting("0.5", type="DOUBLE"),
        "preallocate": Setting("false", type="BOOLEAN"),
    },
)


def planned(live=LIVE, **options):
    return present(TopicSpec("events", **options), live)


def test_what_is_as_it_should_be_is_left_alone():
    spec = {"partitions": 12, "replication_factor": 3, "configs": {"retention.ms": "604800000"}}
    assert planned(**spec) == TopicPlan()
    assert not planned(**spec).changed
    assert planned() == TopicPlan()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cleanup.policy", "delete"),
        ("min.cleanable.dirty.ratio", "0.50"),
        ("preallocate", "False"),
        ("retention.ms", "604800000"),
    ],
)
def test_a_setting_that_equals_what_is_in_force_is_no_difference(key, value):
    """Whoever it is of, and however it is written."""
    assert not planned(configs={key: value}).changed


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "delete,compact"),
        ("min.cleanable.dirty.ratio", "0.6"),
        ("preallocate", "true"),
        ("retention.ms", "1"),
        ("retention.ms", "a week"),
        ("no.such.setting", "1"),
    ],
)
def test_a_setting_that_differs_is_set(key, value):
    plan = planned(configs={key: value})
    assert plan.configs == {key: value}
    assert plan.after["configs"] == {key: value}


def test_order_of_a_list_means_nothing():
    assert same(Setting("compact,delete", type="LIST"), "delete, compact")


@given(st.integers())
def test_a_number_is_the_same_however_it_is_written(number):
    assert same(Setting(str(number), type="LONG"), f"{number:+d}")
    assert not same(Setting(str(number), type="LONG"), str(number + 1))


def test_null_takes_away_what_is_the_topics_own_and_nothing_else():
    plan = planned(configs={"retention.ms": None, "cleanup.policy": None})
    assert plan.configs == {"retention.ms": None}
    assert plan.before["configs"] == {"retention.ms": "604800000"}


def test_partitions_grow():
    plan = planned(partitions=24)
    assert (plan.partitions, plan.before, plan.after) == (24, {"partitions": 12}, {"partitions": 24})


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"partitions": 4},
            (
                "topic events has 12 partitions and 4 are asked for: Kafka takes none away — ask for 12, or delete the "
                "topic with its records (state: absent) and create it again"
            ),
        ),
        (
            {"replication_factor": 1},
            (
                "topic events has replication factor 3 and 1 is asked for: changing it moves records between brokers, "
                "which this module does not do — ask for 3, or move the replicas with kafka-reassign-partitions.sh"
            ),
        ),
    ],
)
def test_what_kafka_does_not_change_is_refused_in_a_sentence(spec, sentence):
    with pytest.raises(ClusterError) as refused:
        planned(**spec, configs={"retention.ms": "1"})
    assert str(refused.value) == sentence


def test_a_topic_that_is_missing_is_created_with_what_was_asked_for():
    plan = planned(live=None, partitions=4, configs={"retention.ms": "1", "cleanup.policy": None})
    assert plan.create
    assert plan.after == {"partitions": 4, "configs": {"retention.ms": "1"}}


def test_absent():
    assert absent(None) == TopicPlan()
    assert absent(LIVE).delete


@pytest.mark.parametrize(("value", "written"), [(True, "true"), (False, "false"), (7, "7"), (None, None), ("x", "x")])
def test_values_of_yaml_are_written_as_kafka_does(value, written):
    assert text(value) == written


class FakeKafkaClient:
    """Keeps what it is told."""

    def __init__(self, answer="OK"):
        self.calls, self.answer = [], answer

    def create_topics(self, topics, **options):
        self.calls.append(("create", topics, options["validate_only"]))

    def create_partitions(self, topics, **options):
        self.calls.append(("partitions", topics, options["validate_only"]))

    def delete_topics(self, topics, **_options):
        self.calls.append(("delete", topics))

    def alter_configs(self, resources, **options):
        self.calls.append(("configs", resources[0].configs, options["validate_only"]))
        return {"topic": {resources[0].name: self.answer}}


def calls_of(plan, spec, *, check):
    client = FakeKafkaClient()
    Topics(client, 1000).carry_out(spec, plan, check=check)
    return client.calls


@pytest.mark.parametrize("check", [False, True])
def test_check_mode_asks_the_broker_to_validate(check):
    spec = TopicSpec("events", 4, None, {"retention.ms": "1", "cleanup.policy": None})
    settings = {"num_partitions": 4, "configs": {"retention.ms": "1"}}
    assert calls_of(present(spec, None), spec, check=check) == [("create", {"events": settings}, check)]
    plan = TopicPlan(partitions=24, configs={"retention.ms": None})
    changes = {"retention.ms": ("DELETE", None)}
    assert calls_of(plan, spec, check=check) == [("partitions", {"events": 24}, check), ("configs", changes, check)]


def test_check_mode_deletes_nothing():
    spec = TopicSpec("events")
    assert calls_of(TopicPlan(delete=True), spec, check=True) == []
    assert calls_of(TopicPlan(delete=True), spec, check=False) == [("delete", ["events"])]


def test_a_setting_that_the_broker_refuses_is_an_error():
    errors = pytest.importorskip("kafka.errors")
    with pytest.raises(errors.BrokerResponseError, match="Invalid value"):
        Topics(FakeKafkaClient("Invalid value"), 1000).carry_out(
            TopicSpec("x"), TopicPlan(configs={"a": "b"}), check=False
        )


def test_a_password_is_in_no_sentence():
    errors = pytest.importorskip("kafka.errors")
    login = KafkaLogin("SASL_SSL", "PLAIN", "graph", "hunter22")
    for error in (errors.SaslAuthenticationFailedError("x"), errors.KafkaTimeoutError("x"), errors.KafkaError("x")):
        assert "hunter22" not in str(_explained(error, "kafka:9092", login, ValueError("refused")))


def test_a_login_that_failed_outranks_connections_that_ended():
    errors = pytest.importorskip("kafka.errors")
    login = KafkaLogin("SASL_SSL", "PLAIN", "graph", "wrong")
    last = _LastErrorHandler()
    for error in (errors.SaslAuthenticationFailedError("no"), errors.KafkaConnectionError("ended")):
        last.emit(logging.LogRecord("kafka", logging.WARNING, "", 0, "failed: %s", (error,), None))
    answer = str(_explained(errors.KafkaTimeoutError("late"), "kafka:9092", login, last.error))
    assert answer == "Kafka at kafka:9092 refuses user graph — check user name and password"


def test_a_ca_that_is_none_is_said():
    with pytest.raises(ClusterError, match="the CA of the brokers is no PEM certificate"):
        KafkaLogin("SSL", ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").options()


def test_a_topic_is_told_once_a_broker_has_heard_of_its_change():
    spec = TopicSpec("events", 12, configs={"retention.ms": None})
    after = Topic(12, 3, {"retention.ms": Setting("604800000", type="LONG")})
    answers = iter([LIVE, LIVE, after])
    assert await_shown(lambda: next(answers), partial(present, spec), 60, 0) == (after, TopicPlan())


def test_a_deleted_topic_is_gone_once_a_broker_has_heard_of_it():
    answers = iter([LIVE, None])
    assert await_shown(lambda: next(answers), absent, 60, 0) == (None, TopicPlan())


def test_what_brokers_do_not_show_in_time_is_told_as_missing():
    live, rest = await_shown(lambda: LIVE, partial(present, TopicSpec("events", configs={"retention.ms": "1"})), 0, 0)
    assert live is LIVE
    assert rest.configs == {"retention.ms": "1"}
