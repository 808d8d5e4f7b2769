"""The settings of this process, translated for the Kafka client library (librdkafka)."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

from memory_graph.config import Settings, SettingsError

CLIENT_ID = "memory-graph"
_FETCH_AHEAD_KIB = 32 * 1024
_CRITICAL = 2
"""The level of syslog: errors are raised or passed to `error_cb`; as log lines they would come twenty times a
second."""
_log = logging.getLogger(__name__)


def client_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of every client: the brokers' addresses, encryption and credentials.

    Raises:
        SettingsError: no brokers are named, the password is empty, or the file of CAs holds none.
    """
    if not settings.kafka_bootstrap_servers:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS is not set: name the brokers, like kafka-1.example:9092")
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": CLIENT_ID,
        "security.protocol": settings.kafka_security_protocol,
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 5_000,
        "logger": _log,
        "log_level": _CRITICAL,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        if not settings.kafka_secret:
            raise SettingsError(f"KAFKA_SASL_PASSWORD_FILE={settings.kafka_sasl_password_file} is empty")
        config |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": settings.kafka_secret,
        }
    if settings.kafka_ca_file and settings.kafka_security_protocol.endswith("SSL"):
        _check_authorities(settings.kafka_ca_file)
        config["ssl.ca.location"] = str(settings.kafka_ca_file)
    return config


def _check_authorities(file: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise SettingsError(f"KAFKA_CA_FILE={file} holds no certificate in PEM form") from None


def consumer_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of a member of the workers' group: cooperative rebalancing, from the beginning, offsets
    committed by hand (contract §3). Its prefetched bytes are bounded, also while it is paused."""
    return client_settings(settings) | {
        "group.id": settings.kafka_group,
        "partition.assignment.strategy": "cooperative-sticky",
        "heartbeat.interval.ms": 1_000,  # its response tells a member of a rebalance
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "queued.max.messages.kbytes": _FETCH_AHEAD_KIB,
        "fetch.max.bytes": _FETCH_AHEAD_KIB * 1024,
    }


def producer_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of an idempotent producer with acks from all replicas in sync (contract §3)."""
    return client_settings(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "zstd",
        "linger.ms": 5,
    }
