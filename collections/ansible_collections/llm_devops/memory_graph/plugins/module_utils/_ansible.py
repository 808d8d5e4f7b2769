# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The one place where the logic meets AnsibleModule: argument spec, missing libraries, redacted invocation."""

from __future__ import annotations

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

from . import _cluster, _kubeconfig
from ._cluster import Cluster, connect
from ._errors import ClusterError
from ._redact import redacted


def auth_options() -> dict[str, dict[str, Any]]:
    """Argument spec of the ``llm_devops.memory_graph.auth`` fragment."""

    def option(env: str, **more: Any) -> dict[str, Any]:
        return {"type": "str", "fallback": (env_fallback, [f"K8S_AUTH_{env}"]), **more}

    return {
        "kubeconfig": option("KUBECONFIG", type="raw"),
        "context": option("CONTEXT"),
        "host": option("HOST"),
        "api_key": option("API_KEY", no_log=True),
        "username": option("USERNAME"),
        "password": option("PASSWORD", no_log=True),
        "validate_certs": option("VERIFY_SSL", type="bool", aliases=["verify_ssl"]),
        "ca_cert": option("SSL_CA_CERT", type="path", aliases=["ssl_ca_cert"]),
        "client_cert": option("CERT_FILE", type="path", aliases=["cert_file"]),
        "client_key": option("KEY_FILE", type="path", aliases=["key_file"], no_log=False),
        "proxy": option("PROXY"),
        "no_proxy": option("NO_PROXY"),
        "impersonate_user": option("IMPERSONATE_USER"),
        "impersonate_groups": option("IMPERSONATE_GROUPS", type="list", elements="str"),
    }


class ClusterModule(AnsibleModule):  # type: ignore[misc]
    """AnsibleModule that never writes manifests to syslog, and hides secrets in the invocation it returns."""

    def __init__(self, options: dict[str, dict[str, Any]], **more: Any) -> None:
        self._reached: Cluster | None = None
        super().__init__(argument_spec={**auth_options(), **options}, no_log=True, **more)
        for library, present in (("urllib3", _cluster.urllib3), ("PyYAML", _kubeconfig.yaml)):
            if present is None:
                self.fail_json(msg=missing_required_lib(library))

    def connect(self) -> Cluster:
        self._reached = connect(self.params)
        return self._reached

    def _pass_on_warnings(self) -> None:
        for warning in self._reached.warnings if self._reached else ():
            self.warn(warning)

    def invocation(self) -> dict[str, Any]:
        shown = dict(self.params)
        if shown.get("objects"):
            given = shown["objects"] if isinstance(shown["objects"], list) else [shown["objects"]]
            shown["objects"] = [_without_values(item) for item in given]
        return {"module_args": shown}

    def done(self, **result: Any) -> NoReturn:
        self._pass_on_warnings()
        self.exit_json(invocation=self.invocation(), **result)
        raise SystemExit(0)

    def refuse(self, error: ClusterError, **result: Any) -> NoReturn:
        self._pass_on_warnings()
        self.fail_json(msg=str(error), invocation=self.invocation(), **result)
        raise SystemExit(1)


def _without_values(item: Any) -> Any:
    """A manifest as it may be shown; of a text, in which a Secret may be, only that there was one."""
    if not isinstance(item, dict):
        return f"({type(item).__name__})"
    if item.get("kind") == "List":
        return {**item, "items": [_without_values(below) for below in item.get("items") or []]}
    shown = redacted(item, b"") or {}
    if item.get("kind") == "Secret":  # without the release's key even a hash would help to guess
        shown.pop("data", None), shown.pop("stringData", None)
    return shown
