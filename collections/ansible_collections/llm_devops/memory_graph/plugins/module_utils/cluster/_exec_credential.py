# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Credentials from an exec plugin (client.authentication.k8s.io/v1 and v1beta1)."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .._errors import ConfigError
from ._kubeconfig import ClusterConnection

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
PLUGIN_TIMEOUT_S = 60.0  # a plugin that opens a browser would hang a playbook for ever


@dataclass(frozen=True)
class Credential:
    """The credential that a plugin issued. At ``expires`` another is due; None: when the API server refuses it."""

    token: str | None = field(default=None, repr=False)
    cert: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    expires: datetime | None = None


def credential(access: ClusterConnection, timeout: float = PLUGIN_TIMEOUT_S) -> Credential:
    """Run the exec plugin of ``access`` once.

    :param timeout: seconds.
    :raises ConfigError: when it is missing, fails, is too slow, or answers something else than an ``ExecCredential``.
    """
    plugin = access.exec_plugin or {}
    version, command = plugin.get("apiVersion"), str(plugin.get("command"))
    if version not in API_VERSIONS:
        raise ConfigError(f"exec plugin {command} asks for {version}; {' and '.join(API_VERSIONS)} are supported")
    if plugin.get("interactiveMode") == "Always":
        raise ConfigError(
            f"exec plugin {command} must be run interactively (interactiveMode: Always), which a play cannot",
            "log in with it by hand and use a kubeconfig without interactiveMode: Always, or a ServiceAccount's token",
        )
    answer = _run(command, plugin, _environment(access, plugin, str(version)), timeout)
    if answer.get("apiVersion") != version or answer.get("kind") != "ExecCredential":
        description = f"{answer.get('kind')} of {answer.get('apiVersion')}"
        raise ConfigError(f"exec plugin {command} answered with {description}, not with ExecCredential of {version}")
    return _issued(command, answer.get("status") or {})


def _environment(access: ClusterConnection, plugin: dict[str, Any], version: str) -> dict[str, str]:
    environ = dict(os.environ)
    environ.update({item["name"]: item["value"] for item in plugin.get("env") or []})
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        cluster = {
            "server": access.server,
            "tls-server-name": access.tls_server_name,
            "insecure-skip-tls-verify": not access.verify,
            "certificate-authority-data": base64.b64encode(access.ca).decode() if access.ca else None,
            "proxy-url": access.proxy,
            "config": access.exec_config,
        }
        spec["cluster"] = {key: value for key, value in cluster.items() if value}
    environ["KUBERNETES_EXEC_INFO"] = json.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": spec})
    return environ


def _run(command: str, plugin: dict[str, Any], environ: dict[str, str], timeout: float) -> dict[str, Any]:
    try:
        # run_command of AnsibleModule has no time limit; the kubeconfig names the command, as kubectl runs it
        process = subprocess.run(  # noqa: S603  # pylint: disable=ansible-bad-function
            [command, *(plugin.get("args") or [])], env=environ, capture_output=True, timeout=timeout, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        answer = json.loads(process.stdout)
    except FileNotFoundError as error:
        raise ConfigError(
            f"exec plugin {command} is not installed", " ".join(str(plugin.get("installHint") or "").split())
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"exec plugin {command} gave no answer in {timeout:g} s", "log in with it once by hand"
        ) from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise ConfigError(
            f"exec plugin {command} failed with exit code {error.returncode}: {last}", "log in with it once by hand"
        ) from error
    except OSError as error:
        raise ConfigError(f"exec plugin {command} cannot be run: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"exec plugin {command} did not answer with an ExecCredential in JSON") from error
    return answer if isinstance(answer, dict) else {}


def _issued(command: str, status: dict[str, Any]) -> Credential:
    token, cert, key = (status.get(name) for name in ("token", "clientCertificateData", "clientKeyData"))
    if not token and not (cert and key):
        raise ConfigError(f"exec plugin {command} issued neither a token nor a client certificate with its key")
    stamp = status.get("expirationTimestamp")
    try:
        expires = datetime.fromisoformat(str(stamp)).astimezone(UTC) if stamp else None
    except ValueError as error:
        raise ConfigError(f"exec plugin {command} says expirationTimestamp {stamp!r}, which is no time") from error
    return Credential(token, cert.encode() if cert else None, key.encode() if key else None, expires)
