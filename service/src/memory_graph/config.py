"""Settings, by environment. Names are those of the ConfigMap the collection deploys; every one of them is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from memory_graph.plugins.loading import split_directories

Port = Annotated[int, Field(ge=0, le=65535)]
PositiveInt = Annotated[int, Field(gt=0)]


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "memory-graph"


class SettingsError(Exception):
    """A setting is wrong; the text names each with its value and what is allowed."""


class Settings(BaseSettings):
    """How one server process runs. A field's description is its documentation; `serve --help` shows them."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False)

    grpc_host: str = Field(
        default="127.0.0.1", description="address gRPC and metrics listen on; 0.0.0.0 in a container"
    )
    grpc_port: Port = Field(default=50051, description="gRPC port; 0 takes a free one")
    metrics_port: Port = Field(default=9090, description="port of /metrics; 0 takes a free one")
    db_path: Path = Field(default_factory=_data_home, description="directory of the embedded store")
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
    tls_cert_file: Path | None = Field(default=None, description="PEM certificate chain; with it gRPC speaks TLS")
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

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator(
        "tls_cert_file", "tls_key_file", "tls_client_ca_file", "otel_exporter_otlp_endpoint", mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

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
