# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Topics of a Kafka, through kafka-python; its errors become sentences."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._errors import ClusterError
from ._kafka_topic import Setting, Topic, TopicPlan, TopicSpec

try:
    from kafka.admin import ConfigResource, KafkaAdminClient
    from kafka.errors import (
        AuthorizationError,
        BrokerResponseError,
        KafkaError,
        KafkaTimeoutError,
        SaslAuthenticationFailedError,
        UnknownTopicOrPartitionError,
        UnsupportedSaslMechanismError,
    )

    import kafka
except ImportError:  # the module names the missing library
    kafka = None

__all__ = ["KafkaLogin", "NoAnswer", "Topics", "kafka", "open_topics"]
DEFAULT = "DELETE"
"""The operation that takes a setting away, so that the broker's default is in force again."""


@dataclass(frozen=True)
class KafkaLogin:
    """The security settings and credentials for the brokers. ``ca``: PEM certificates instead of the system's."""

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = None
    ca: str | None = None

    def options(self) -> dict[str, Any]:
        """Return the arguments of the client.

        Raises:
            ClusterError: when the CA is no certificate.
        """
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.protocol in ("SSL", "SASL_SSL"):
            options["ssl_context"] = self._context()
        if self.protocol in ("SASL_PLAINTEXT", "SASL_SSL"):
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cadata=self.ca)
        except ssl.SSLError as error:
            raise ClusterError(f"the CA of the brokers is no PEM certificate ({error.reason})", "give one") from error


class NoAnswer(ClusterError):
    """No broker could be reached, or none answered in time."""


class _LastErrorHandler(logging.Handler):
    """A log handler that keeps the client's last message about a failed connection, which its errors leave out.

    A login that fails outranks the rest. Over TLS the client often misses that answer, sees the connection end, and
    tries again.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.error: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        error = next((arg for arg in record.args or () if isinstance(arg, Exception)), None)
        if error is None or isinstance(error, KafkaTimeoutError):  # the latter we have ourselves
            return
        if not isinstance(self.error, SaslAuthenticationFailedError):
            self.error = error


@contextmanager
def open_topics(
    servers: Sequence[str], login: KafkaLogin, seconds: float, proxy: str | None = None
) -> Iterator[Topics]:
    """Open a client of the brokers until the end of the block.

    Raises:
        ClusterError: for every error of Kafka in the block too.
    """
    last, logger = _LastErrorHandler(), logging.getLogger("kafka")
    logger.addHandler(last)
    logger.propagate = False
    address = ", ".join(servers)
    milliseconds = int(seconds * 1000)
    try:
        client = KafkaAdminClient(
            bootstrap_servers=list(servers), client_id="memory-graph", proxy_url=proxy,
            bootstrap_timeout_ms=milliseconds, request_timeout_ms=milliseconds, **login.options(),
        )  # fmt: skip
        try:
            yield Topics(client, milliseconds)
        finally:
            client.close()
    except KafkaError as error:
        raise _explained(error, address, login, last.error) from error
    finally:
        logger.removeHandler(last)


def _explained(error: Exception, address: str, login: KafkaLogin, before: Exception | None) -> ClusterError:
    text = " ".join(str(error).split())
    if SaslAuthenticationFailedError in (type(error), type(before)):
        return ClusterError(f"Kafka at {address} refuses user {login.username}", "check user name and password")
    if isinstance(error, UnsupportedSaslMechanismError):
        return ClusterError(f"Kafka at {address} does not know {login.mechanism}", "choose another sasl_mechanism")
    if isinstance(error, AuthorizationError):
        client = f"user {login.username}" if login.username else "who does not log in"
        return ClusterError(f"Kafka at {address} does not let {client} do this: {text}", "have an ACL granted")
    if isinstance(error, KafkaTimeoutError):
        why = f": {' '.join(str(before).split())}" if before else ""
        client = "user name and password, " if login.username else ""
        return NoAnswer(
            f"Kafka at {address} does not answer ({login.protocol}){why}",
            f"check bootstrap_servers, {client}security_protocol, and whether the brokers run",
        )
    if isinstance(error, BrokerResponseError):
        return ClusterError(f"Kafka at {address} refuses: {text}", "correct what it names")
    return ClusterError(f"Kafka at {address}: {text or type(error).__name__}", "read the broker's log")


class Topics:
    """The topics of a Kafka. Every method raises errors of kafka-python."""

    def __init__(self, client: KafkaAdminClient, timeout_ms: int) -> None:
        self._client, self._timeout_ms = client, timeout_ms

    def find(self, name: str) -> Topic | None:
        """Return the topic as it is, or None when there is none."""
        description = self._client.describe_topics([name])[0]
        if description["error_code"] == UnknownTopicOrPartitionError.errno:
            return None
        if description["error_code"]:
            raise kafka.errors.for_code(description["error_code"])(f"topic {name}")
        resource = ConfigResource("TOPIC", name)
        settings = self._client.describe_configs([resource], config_filter="all")["topic"][name]
        copies = {len(partition["replica_nodes"]) for partition in description["partitions"]}
        return Topic(
            len(description["partitions"]), max(copies), {key: _setting(value) for key, value in settings.items()}
        )

    def carry_out(self, spec: TopicSpec, plan: TopicPlan, *, check: bool) -> None:
        """Carry out the plan, or in check mode let the broker validate it."""
        if plan.create:
            arguments: dict[str, Any] = {
                "num_partitions": spec.partitions, "replication_factor": spec.replication_factor,
                "configs": {key: value for key, value in spec.configs.items() if value is not None},
            }  # fmt: skip
            arguments = {key: value for key, value in arguments.items() if value is not None}
            self._client.create_topics(
                {spec.name: arguments}, timeout_ms=self._timeout_ms, validate_only=check, wait_for_metadata=not check
            )
        if plan.delete and not check:
            self._client.delete_topics([spec.name], timeout_ms=self._timeout_ms)
        if plan.partitions is not None:
            self._client.create_partitions(
                {spec.name: plan.partitions}, timeout_ms=self._timeout_ms, validate_only=check
            )
        if plan.configs:
            self._configure(spec.name, plan.configs, check=check)

    def _configure(self, name: str, configs: Mapping[str, str | None], *, check: bool) -> None:
        changes = {key: (DEFAULT, None) if value is None else value for key, value in configs.items()}
        answer = self._client.alter_configs([ConfigResource("TOPIC", name, changes)], validate_only=check,
                                            raise_on_unknown=False)  # fmt: skip
        result = answer["topic"][name]
        if result != "OK":
            raise BrokerResponseError(result)


def _setting(described: Mapping[str, Any]) -> Setting:
    is_own = described["config_source"] == "DYNAMIC_TOPIC_CONFIG"
    return Setting(described["value"], is_own, described.get("config_type", "STRING"))
