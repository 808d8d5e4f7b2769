# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The one place where the logic meets AnsibleModule: argument spec, missing libraries, redacted invocation."""

from __future__ import annotations

import functools
import gc
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

from ._errors import ClusterError
from .cluster import _kubeconfig, _transport
from .cluster._cluster import Cluster, connect
from .cluster._secret_values import SecretValues
from .objects._manifest import opened

OURS = frozenset({"kind", "name", "namespace", "api_version", "action", "state", "check", "label", "path", "header",
                  "before_header", "after_header"})  # fmt: skip
"""Keys of a result whose texts are names of our own."""
TEXTS = frozenset({"msg", "message", "why", "way_out", "events", "log", "kept", "reason", "text", "note"})
"""Keys of a result whose texts may quote others."""
RELEASES = ("additional_releases", "beside")
"""Options that hold more releases with objects; Ansible keeps the value under the alias, too."""
SHOWS_ARGUMENTS = 3
"""Verbosity (-vvv) from which Ansible prints the arguments of a module."""


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
    """AnsibleModule that never writes manifests to syslog, and hides values of Secrets in all that it returns."""

    current: ClusterModule | None = None

    def __init__(self, options: dict[str, dict[str, Any]], **more: Any) -> None:
        gc.set_threshold(50_000)  # objects of a release are many and without cycles: looking for these costs a fifth
        self._reached: Cluster | None = None
        self._values = SecretValues()
        super().__init__(argument_spec={**auth_options(), **options}, no_log=True, **more)
        ClusterModule.current = self  # from here on it has parameters, and can end in a sentence
        for library, present in (("urllib3", _transport.urllib3), ("PyYAML", _kubeconfig.yaml)):
            if present is None:
                self.fail_json(msg=missing_required_lib(library))
        self._add_values()

    def connect(self) -> Cluster:
        self._reached = connect(self.params)
        self._reached.secret_values = self._values
        return self._reached

    def _pass_on_warnings(self) -> None:
        for warning in self._reached.warnings if self._reached else ():
            self.warn(warning)

    def broken(self, error: Exception) -> NoReturn:
        """End with a sentence about a fault of our own, without the error's message, which may quote anything."""
        at = traceback.extract_tb(error.__traceback__)[-1]
        sentence = f"{type(error).__name__} in {Path(at.filename).name}, line {at.lineno}"
        self.refuse(
            ClusterError(sentence, "this is a fault of the collection: report it with the objects that cause it"),
            exception="".join(traceback.format_tb(error.__traceback__)),
        )

    def _add_values(self) -> None:
        """Add the values of the Secrets among the arguments, also where a later one is malformed."""
        releases = [self.params, *(release for name in RELEASES for release in self.params.get(name) or [])]
        for objects in (release.get("objects") for release in releases):
            if "ecret" not in str(objects):  # most texts need not be read twice
                continue
            with suppress(ClusterError):
                for manifest in opened(objects):
                    self._values.add(manifest)

    def invocation(self) -> dict[str, Any]:
        """Return the arguments as a result shows them; objects, which are many, only where Ansible would print them."""
        arguments = self._without_objects(self.params)
        for name in RELEASES:
            if arguments.get(name):
                arguments[name] = [self._without_objects(release) for release in arguments[name]]
        return {"module_args": arguments}

    def _without_objects(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters whose objects show no value of a Secret."""
        arguments = dict(params)
        if arguments.get("objects") and self._verbosity < SHOWS_ARGUMENTS:
            arguments["objects"] = "(shown with -vvv)"
        elif arguments.get("objects"):
            objects = arguments["objects"] if isinstance(arguments["objects"], list) else [arguments["objects"]]
            arguments["objects"] = self._without_secrets([_without_values(item) for item in objects])
        return arguments

    def done(self, **result: Any) -> NoReturn:
        self._pass_on_warnings()
        self.exit_json(invocation=self.invocation(), **self._without_secrets(result))
        raise SystemExit(0)

    def refuse(self, error: ClusterError, **result: Any) -> NoReturn:
        self._pass_on_warnings()
        self.fail_json(msg=self._values.hide(str(error)), invocation=self.invocation(), **self._without_secrets(result))
        raise SystemExit(1)

    def _without_secrets(self, result: Any, key: str = "") -> Any:
        """Return the result without values of Secrets: names are our own, texts may quote others."""
        if isinstance(result, Mapping):
            return {name: self._without_secrets(item, name) for name, item in result.items()}
        if isinstance(result, list | tuple):
            return [self._without_secrets(item, key) for item in result]
        if isinstance(result, str) and key not in OURS:
            return self._values.hide(result, plain=key in TEXTS)
        return result


def sentence(main: Callable[[], None]) -> Callable[[], None]:
    """A module's ``main`` that ends in a sentence whatever happens, as a traceback may quote a Secret."""

    @functools.wraps(main)
    def guarded() -> None:
        try:
            main()
        except Exception as error:
            if ClusterModule.current is None:
                raise
            ClusterModule.current.broken(error)

    return guarded


def _without_values(item: Any) -> Any:
    """Return a manifest as it may be shown; of a text, in which a Secret may be, only its type."""
    if not isinstance(item, dict):
        return f"({type(item).__name__})"
    if isinstance(item.get("items"), list):
        kind = str(item.get("kind") or "").removesuffix("List")
        items = ({"kind": kind, **item} if isinstance(item, dict) else item for item in item["items"])
        return {**item, "items": [_without_values(item) for item in items]}
    if str(item.get("kind")).lower() != "secret":
        return item
    metadata = item.get("metadata")  # without the release's key even a hash would help to guess
    name = {key: metadata.get(key) for key in ("name", "namespace")} if isinstance(metadata, dict) else {}
    return {**{key: item.get(key) for key in ("apiVersion", "kind", "type")}, "metadata": name}
