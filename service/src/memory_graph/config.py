"""The settings of the environment. Their names are those of the ConfigMap that the collection deploys."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from memory_graph.plugins.loading import split_directories

Port = Annotated[int, Field(ge=0, le=65535)]
PositiveInt = Annotated[int, Field(gt=0)]


_TOPICS = ("llm-telemetry-events", "llm.prompts.v1", "llm.responses.v1", "llm.sessions.v1")
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s:/,@]+):[0-9]{1,5}")
NEO4J_URI = re.compile(r"(neo4j|bolt)(\+s|\+ssc)?://[^/@\s]+")


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "memory-graph"


class SettingsError(Exception):
    """A setting is wrong; the text names each with its value and what is allowed."""


class Settings(BaseSettings):
    """The settings of one process. A field's description is its documentation; `serve --help` shows them."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False)

    grpc_host: str = Field(
        default="127.0.0.1", description="address gRPC, REST and metrics listen on; 0.0.0.0 in a container"
    )
    grpc_port: Port = Field(default=50051, description="gRPC port; 0 takes a free one")
    metrics_port: Port = Field(default=9090, description="port of /metrics; 0 takes a free one")
    rest_port: Port = Field(default=8080, description="port of REST; 0 takes a free one")
    store: Literal["embedded", "neo4j"] = Field(
        default="embedded", description="where the graph is kept: a file of this process, or a Neo4j database"
    )
    db_path: Path = Field(default_factory=_data_home, description="directory of the embedded store")
    neo4j_uri: str | None = Field(
        default=None,
        description="neo4j://host:7687 for a cluster, bolt://host:7687 for one server; with +s for TLS, whose authority"
        " SSL_CERT_FILE may name",
    )
    neo4j_username: str = Field(default="neo4j", description="user of the database; empty: it asks for none")
    neo4j_password: SecretStr | None = Field(default=None, description="password of neo4j_username")
    neo4j_password_file: Path | None = Field(default=None, description="file that holds that password, instead")
    neo4j_database: str = Field(default="neo4j", min_length=1, description="name of the database")
    neo4j_max_connections: PositiveInt = Field(
        default=50, description="most connections of this process to one Neo4j server"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is logged"
    )
    plugin_dirs: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description=f"directories with plugins, separated by commas or '{os.pathsep}'"
    )
    plugin_timeout_ms: PositiveInt = Field(default=1000, description="time limit of one plugin hook, milliseconds")
    max_connections: PositiveInt = Field(default=1000, description="most client connections at once")
    max_streams_per_connection: PositiveInt = Field(default=100, description="most concurrent calls on one connection")
    max_message_bytes: PositiveInt = Field(
        default=16 * 1024 * 1024, description="largest message received or sent, bytes"
    )
    request_timeout_ms: PositiveInt = Field(default=30_000, description="time limit of a unary call, milliseconds")
    max_connection_age_s: PositiveInt = Field(
        default=300, description="age at which a connection must reconnect, seconds"
    )
    max_connection_age_grace_s: PositiveInt = Field(default=30, description="time its running calls then have, seconds")
    drain_seconds: PositiveInt = Field(default=10, description="time running calls have after SIGTERM, seconds")
    feed_retention_commits: PositiveInt = Field(
        default=1_000_000, description="commits the change feed keeps for resuming"
    )
    feed_buffer_events: PositiveInt = Field(
        default=10_000, description="events a slow subscriber may lag before it is cut off"
    )
    telemetry_buffer_bytes: PositiveInt = Field(
        default=256 * 1024 * 1024,
        description="memory for telemetry that is not durable yet, bytes; beyond it clients wait",
    )
    telemetry_stream_bytes: PositiveInt = Field(
        default=4 * 1024 * 1024, description="the part of it one stream may take ahead of its acknowledgements, bytes"
    )
    telemetry_patience_s: PositiveInt = Field(
        default=900, description="how long telemetry waits for a store that is away, seconds"
    )
    kafka_bootstrap_servers: str | None = Field(
        default=None, description="host:port of Kafka brokers, separated by commas; empty: no Kafka"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how the brokers are spoken to"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512",
        description="how kafka_sasl_username proves who it is, with SASL",
    )
    kafka_sasl_username: str | None = Field(default=None, description="user of the brokers")
    kafka_sasl_password: SecretStr | None = Field(default=None, description="password of kafka_sasl_username")
    kafka_sasl_password_file: Path | None = Field(default=None, description="file that holds that password, instead")
    kafka_ca_file: Path | None = Field(
        default=None, description="PEM CAs the brokers' certificates are checked by; empty: those of the system"
    )
    kafka_group: str = Field(
        default="memory-graph-consumers", min_length=1, description="consumer group of the workers"
    )
    kafka_topics: Annotated[dict[str, str], NoDecode] = Field(
        default={topic: topic for topic in _TOPICS},
        description="topics the workers read, separated by commas; own=llm.prompts.v1 where one has a name of its own",
    )
    kafka_tenant: str = Field(
        default="default", min_length=1, description="tenant of records without the header tenant-id"
    )
    kafka_events_topic: str | None = Field(
        default="llm-memory-graph-events",
        description="topic the change feed goes out to; empty: none",
    )
    kafka_max_poll_records: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=500, description="most records a worker takes at once; it takes fewer while the store is slow"
    )
    telemetry_waiting_responses: PositiveInt = Field(
        default=100_000, description="responses that may wait in the store for their prompts"
    )
    telemetry_waiting_s: PositiveInt = Field(
        default=86_400, description="how long a response waits for its prompt until it is a dead letter, seconds"
    )
    tls_cert_file: Path | None = Field(
        default=None, description="PEM certificate chain; with it gRPC and REST speak TLS"
    )
    tls_key_file: Path | None = Field(default=None, description="PEM private key of tls_cert_file")
    tls_client_ca_file: Path | None = Field(
        default=None, description="PEM CAs; with it clients must show a certificate (mTLS)"
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None, description="OTLP gRPC endpoint for traces; empty: none"
    )

    @field_validator("plugin_dirs", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(split_directories(value)) if isinstance(value, str) else value

    @field_validator("kafka_topics", mode="before")
    @classmethod
    def _topics(cls, value: object) -> object:
        """Parse topics: by name, the topic of contract §3 that defines the format of its bodies."""
        if not isinstance(value, str):
            return value
        entries = (entry.partition("=") for entry in value.split(",") if entry.strip())
        topics = {name.strip(): contract.strip() or name.strip() for name, _, contract in entries}
        if not topics:
            raise ValueError("it names no topic")
        return topics

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator(
        "tls_cert_file",
        "tls_key_file",
        "tls_client_ca_file",
        "otel_exporter_otlp_endpoint",
        "neo4j_uri",
        "neo4j_password",
        "neo4j_password_file",
        "kafka_bootstrap_servers",
        "kafka_events_topic",
        "kafka_sasl_username",
        "kafka_sasl_password",
        "kafka_sasl_password_file",
        "kafka_ca_file",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _neo4j_is_whole(self) -> Self:
        if self.store == "neo4j" and not self.neo4j_uri:
            raise ValueError("STORE=neo4j needs NEO4J_URI")
        if self.neo4j_uri and not NEO4J_URI.fullmatch(self.neo4j_uri):  # not shown: it may hold a password
            raise ValueError("NEO4J_URI must be like neo4j://graph.example:7687, without user, password and path")
        if self.neo4j_password and self.neo4j_password_file:
            raise ValueError("NEO4J_PASSWORD and NEO4J_PASSWORD_FILE must not both be set")
        if self.neo4j_password_file and not os.access(self.neo4j_password_file, os.R_OK):
            raise ValueError(f"NEO4J_PASSWORD_FILE={self.neo4j_password_file} cannot be read")
        return self

    @property
    def neo4j_secret(self) -> str | None:
        """The password, from whichever setting gives it."""
        if self.neo4j_password_file:
            return self.neo4j_password_file.read_text().strip()
        return self.neo4j_password.get_secret_value() if self.neo4j_password else None

    @model_validator(mode="after")
    def _kafka_is_whole(self) -> Self:
        for server in self.kafka_bootstrap_servers.split(",") if self.kafka_bootstrap_servers else ():
            if not _HOST_PORT.fullmatch(server.strip()):
                raise ValueError(f"KAFKA_BOOTSTRAP_SERVERS: {server.strip()!r} must be like kafka-1.example:9092")
        if self.kafka_sasl_password and self.kafka_sasl_password_file:
            raise ValueError("KAFKA_SASL_PASSWORD and KAFKA_SASL_PASSWORD_FILE must not both be set")
        for name in ("kafka_sasl_password_file", "kafka_ca_file"):
            path: Path | None = getattr(self, name)
            if path and not os.access(path, os.R_OK):
                raise ValueError(f"{name.upper()}={path} cannot be read")
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and (self.kafka_sasl_password or self.kafka_sasl_password_file)
        ):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs KAFKA_SASL_USERNAME and"
                " KAFKA_SASL_PASSWORD or KAFKA_SASL_PASSWORD_FILE"
            )
        return self

    @property
    def kafka_secret(self) -> str | None:
        """The password, from whichever setting gives it."""
        if self.kafka_sasl_password_file:
            return self.kafka_sasl_password_file.read_text().strip()
        return self.kafka_sasl_password.get_secret_value() if self.kafka_sasl_password else None

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("TLS_CERT_FILE and TLS_KEY_FILE must be set together")
        if self.tls_client_ca_file and not self.tls_cert_file:
            raise ValueError("TLS_CLIENT_CA_FILE needs TLS_CERT_FILE and TLS_KEY_FILE")
        for name in ("tls_cert_file", "tls_key_file", "tls_client_ca_file"):
            path: Path | None = getattr(self, name)
            if path and not os.access(path, os.R_OK):
                raise ValueError(f"{name.upper()}={path} cannot be read")
        return self


def load() -> Settings:
    """Reads the settings from the environment.

    Raises:
        SettingsError: naming each wrong setting, its value and what is allowed, one a line.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(dict(problem)) for problem in error.errors())) from None


def _sentence(problem: dict[str, object]) -> str:
    location = problem["loc"]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not isinstance(location, tuple) or not location:
        return message
    name = str(location[0])
    allowed = message[0].lower() + message[1:]
    return f"{name.upper()}={problem['input']!r}: {allowed} ({Settings.model_fields[name].description})"
