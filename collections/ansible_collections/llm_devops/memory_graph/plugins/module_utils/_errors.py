# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The errors between us and a cluster, each one sentence with the way out."""

from __future__ import annotations

from typing import Any


class ClusterError(Exception):
    """Something a person must act on: ``message`` says what and where, ``way_out`` what to do."""

    def __init__(self, message: str, way_out: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.message} — {self.way_out}" if self.way_out else self.message


class ConfigError(ClusterError):
    """The connection settings (kubeconfig, options, exec plugin) cannot be used."""


class ManifestError(ClusterError):
    """An object of the release is malformed; nothing was sent."""


class Unreachable(ClusterError):
    """No HTTP answer came: connection, name resolution, TLS or proxy."""


class ApiError(ClusterError):
    """The API server answered with a failure ``Status`` (Kubernetes API conventions, "Response Status Kind")."""

    def __init__(self, status: int, body: dict[str, Any], message: str, way_out: str = "") -> None:
        super().__init__(message, way_out)
        self.status = status
        self.body = body

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def unserved(self) -> bool:
        """Whether the path itself is unknown, and not only its object."""
        return self.status == 404 and self.reason != "NotFound"

    @property
    def causes(self) -> list[dict[str, Any]]:
        details = self.body.get("details") or {}
        return list(details.get("causes") or [])
