# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Credentials from an exec plugin (client.authentication.k8s.io/v1 and v1beta1)."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import Any

from ._errors import ConfigError

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True)
class Credential:
    token: str | None = field(default=None, repr=False)
    client_cert: bytes | None = field(default=None, repr=False)
    client_key: bytes | None = field(default=None, repr=False)


def credential(plugin: dict[str, Any], server: str, ca: bytes | None, timeout: float = 60) -> Credential:
    """Run the plugin once.

    :param timeout: seconds; a plugin that opens a browser would hang a playbook for ever.
    :raises ConfigError: when it is missing, fails, is too slow, or answers something else than an ``ExecCredential``.
    """
    version = plugin.get("apiVersion")
    command = str(plugin.get("command"))
    if version not in API_VERSIONS:
        raise ConfigError(f"exec plugin {command} asks for {version}; {' and '.join(API_VERSIONS)} are supported")
    environ = dict(os.environ)
    environ.update({item["name"]: item["value"] for item in plugin.get("env") or []})
    info: dict[str, Any] = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    if plugin.get("provideClusterInfo"):
        cluster = {"server": server}
        if ca:
            cluster["certificate-authority-data"] = base64.b64encode(ca).decode()
        info["spec"]["cluster"] = cluster
    environ["KUBERNETES_EXEC_INFO"] = json.dumps(info)
    try:
        done = subprocess.run(  # noqa: S603 - the kubeconfig names the command, as kubectl runs it
            [command, *(plugin.get("args") or [])], env=environ, capture_output=True, timeout=timeout, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        status = json.loads(done.stdout)["status"]
    except FileNotFoundError as error:
        raise ConfigError(f"exec plugin {command} is not installed", str(plugin.get("installHint") or "")) from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"exec plugin {command} gave no answer in {timeout:g} s", "log in with it once by hand"
        ) from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise ConfigError(f"exec plugin {command} failed with exit code {error.returncode}: {last}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"exec plugin {command} did not answer with an ExecCredential") from error
    cert, key = status.get("clientCertificateData"), status.get("clientKeyData")
    return Credential(
        token=status.get("token"),
        client_cert=cert.encode() if cert else None,
        client_key=key.encode() if key else None,
    )
