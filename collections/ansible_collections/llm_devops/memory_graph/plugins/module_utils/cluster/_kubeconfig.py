# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Access to an API server: its address and our credentials, from options, kubeconfigs or a ServiceAccount.

Options win over kubeconfig, kubeconfig over the pod's ServiceAccount: the order of ``kubernetes.core``. Several files
in ``KUBECONFIG`` merge as kubectl merges them, the first to define a name wins.

The loader is ours because importing ``kubernetes.config`` imports every generated model of that package: 0.62 s against
0.10 s for urllib3 alone (2 cores, warm cache), paid by each module of a deployment. lightkube (0.25 s) speaks only the
v1alpha1 and v1beta1 exec credential APIs, so a kubeconfig that asks for v1 would not work.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._errors import ConfigError

try:
    import yaml
except ImportError:  # the module names the missing library
    yaml = None  # type: ignore[assignment]

__all__ = ["ClusterConnection", "access", "yaml"]
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
USER_FIELDS = ("token", "username", "password", "client_cert", "client_key")
ENTRIES = {"clusters": "cluster", "users": "user", "contexts": "context"}
EXEC_CONFIG = "client.authentication.k8s.io/exec"  # the cluster extension an exec plugin is given as its config


@dataclass(frozen=True)
class ClusterConnection:
    """The address of an API server and the credentials for it; PEM material is bytes, already read."""

    server: str
    source: str
    namespace: str = "default"
    ca: bytes | None = None
    verify: bool = True
    tls_server_name: str | None = None
    client_cert: bytes | None = field(default=None, repr=False)
    client_key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    exec_plugin: dict[str, Any] | None = field(default=None, repr=False)
    exec_config: Any = None
    proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def access(options: Mapping[str, Any], environ: Mapping[str, str]) -> ClusterConnection:
    """Resolve the auth options of a module (see the ``auth`` doc fragment) to one :class:`ClusterConnection`.

    :raises ConfigError: when no cluster is named, or a named file cannot be read.
    """
    if options.get("host") and not options.get("kubeconfig") and not options.get("context"):
        base = ClusterConnection(server=str(options["host"]), source="option host")
    else:
        base = _from_kubeconfig(options, environ)
    return _overridden(base, options)


def _from_kubeconfig(options: Mapping[str, Any], environ: Mapping[str, str]) -> ClusterConnection:
    option = options.get("kubeconfig")
    if isinstance(option, Mapping):
        return _select(
            _resolved(dict(option), Path.cwd(), "option kubeconfig"), options.get("context"), "option kubeconfig"
        )
    names = str(option or environ.get("KUBECONFIG") or "~/.kube/config")
    paths = [Path(name).expanduser() for name in names.split(os.pathsep) if name]
    present = [path for path in paths if path.is_file()]
    if present:
        merged: dict[str, Any] = {}
        for path in present:
            _merge(merged, _read(path))
        return _select(merged, options.get("context"), os.pathsep.join(str(path) for path in present))
    if not option and (SERVICE_ACCOUNT / "token").is_file() and environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(environ)
    raise ConfigError(
        f"no cluster to talk to: kubeconfig {names} does not exist",
        "set KUBECONFIG, the option kubeconfig, or host and api_key",
    )


def _in_cluster(environ: Mapping[str, str]) -> ClusterConnection:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    try:
        namespace, ca = (SERVICE_ACCOUNT / "namespace").read_text().strip(), (SERVICE_ACCOUNT / "ca.crt").read_bytes()
    except OSError as error:
        raise ConfigError(f"{error.filename} of the pod's ServiceAccount cannot be read: {error.strerror}") from error
    return ClusterConnection(
        server=f"https://{host}:{port}",
        source="the pod's ServiceAccount",
        namespace=namespace,
        ca=ca,
        token_file=SERVICE_ACCOUNT / "token",
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"kubeconfig {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"kubeconfig {path} is not a kubeconfig: it holds no mapping")
    return _resolved(data, path.parent, f"kubeconfig {path}")


def _resolved(config: dict[str, Any], folder: Path, source: str) -> dict[str, Any]:
    """Return a checked copy whose file names are absolute: here it is known which file they are relative to."""
    config = {**config}
    for kind, entry in ENTRIES.items():
        items = config.get(kind) or []
        if not isinstance(items, list) or not all(_well_formed(item, entry) for item in items):
            raise ConfigError(f"{kind} of {source} is not a list of entries with a name and a {entry}")
        config[kind] = [{**item, entry: _absolute(item.get(entry) or {}, folder)} for item in items]
    return config


def _well_formed(item: Any, entry: str) -> bool:
    return isinstance(item, Mapping) and "name" in item and isinstance(item.get(entry) or {}, Mapping)


def _absolute(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    result = {**values}
    for key in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
        if result.get(key):
            result[key] = str(folder / Path(result[key]).expanduser())
    plugin = result.get("exec")
    if isinstance(plugin, Mapping) and os.sep in str(plugin.get("command")):  # a bare name is looked up in PATH
        result["exec"] = {**plugin, "command": str(folder / str(plugin["command"]))}
    return result


def _merge(merged: dict[str, Any], more: dict[str, Any]) -> None:
    if not merged.get("current-context") and more.get("current-context"):
        merged["current-context"] = more["current-context"]
    for kind in ENTRIES:
        names = {item.get("name") for item in merged.get(kind, [])}
        merged.setdefault(kind, []).extend(item for item in more.get(kind) or [] if item.get("name") not in names)


def _select(config: dict[str, Any], context: str | None, source: str) -> ClusterConnection:
    name = context or config.get("current-context")
    if not name:
        raise ConfigError(f"kubeconfig {source} has no current-context", "name one with the option context")
    context_entry = _named(config, "contexts", "context", str(name), source)
    cluster = _named(config, "clusters", "cluster", str(context_entry.get("cluster")), source)
    user = _named(config, "users", "user", str(context_entry["user"]), source) if context_entry.get("user") else {}
    if not cluster.get("server"):
        raise ConfigError(f"cluster {context_entry.get('cluster')!r} of kubeconfig {source} names no server")
    if user.get("auth-provider"):
        raise ConfigError(
            f"user {context_entry['user']!r} of kubeconfig {source} uses auth-provider, which Kubernetes removed",
            "use an exec credential plugin (such as kubelogin) instead",
        )
    token_file = user.get("tokenFile")
    return ClusterConnection(
        server=str(cluster["server"]),
        source=f"kubeconfig {source}, context {name}",
        namespace=str(context_entry.get("namespace") or "default"),
        ca=_pem(cluster, "certificate-authority"),
        verify=not cluster.get("insecure-skip-tls-verify", False),
        tls_server_name=cluster.get("tls-server-name"),
        client_cert=_pem(user, "client-certificate"),
        client_key=_pem(user, "client-key"),
        token=user.get("token"),
        token_file=Path(token_file) if token_file else None,
        username=user.get("username"),
        password=user.get("password"),
        exec_plugin=user.get("exec"),
        exec_config=_extension(cluster, EXEC_CONFIG),
        proxy=cluster.get("proxy-url"),
        headers=_impersonation(
            user.get("as"), user.get("as-groups") or [], user.get("as-uid"), user.get("as-user-extra") or {}
        ),
    )


def _extension(cluster: Mapping[str, Any], name: str) -> Any:
    return next((item.get("extension") for item in cluster.get("extensions") or [] if item.get("name") == name), None)


def _impersonation(user: Any, groups: Sequence[Any], uid: Any = None, extra: Mapping[str, Sequence[Any]] | None = None
                   ) -> tuple[tuple[str, str], ...]:  # fmt: skip
    """Return the headers of "User impersonation" in the Kubernetes documentation; groups go one to a header.

    :raises ConfigError: for groups, a uid or extra without a user, which the API server would refuse.
    """
    if not user:
        if groups or uid or extra:
            raise ConfigError("groups are impersonated without a user", "name the user too (impersonate_user)")
        return ()
    headers = [("Impersonate-User", str(user)), *(("Impersonate-Group", str(group)) for group in groups)]
    headers += [("Impersonate-Uid", str(uid))] if uid else []
    for key, values in (extra or {}).items():
        headers += [(f"Impersonate-Extra-{quote(str(key), safe='')}", str(value)) for value in values]
    return tuple(headers)


def _named(config: dict[str, Any], kind: str, entry: str, name: str, source: str) -> dict[str, Any]:
    for item in config.get(kind) or []:
        if item.get("name") == name:
            return dict(item.get(entry) or {})
    names = ", ".join(str(item.get("name")) for item in config.get(kind) or []) or "none"
    raise ConfigError(f"kubeconfig {source} has no {entry} {name!r}; it has {names}")


def _pem(values: Mapping[str, Any], key: str) -> bytes | None:
    data = values.get(f"{key}-data")
    try:
        if data:
            return base64.b64decode(data, validate=True)
        return Path(values[key]).read_bytes() if values.get(key) else None
    except binascii.Error as error:
        raise ConfigError(f"{key}-data of the kubeconfig is not base64") from error
    except OSError as error:
        raise ConfigError(f"{key} {values[key]} of the kubeconfig cannot be read: {error.strerror}") from error


def _file(options: Mapping[str, Any], key: str) -> bytes | None:
    if not options.get(key):
        return None
    try:
        return Path(str(options[key])).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"{key} {options[key]} cannot be read: {error.strerror}") from error


def _overridden(base: ClusterConnection, options: Mapping[str, Any]) -> ClusterConnection:
    changes: dict[str, Any] = {
        "server": options.get("host"),
        "token": options.get("api_key"),
        "username": options.get("username"),
        "password": options.get("password"),
        "verify": options.get("validate_certs"),
        "ca": _file(options, "ca_cert"),
        "client_cert": _file(options, "client_cert"),
        "client_key": _file(options, "client_key"),
        "proxy": options.get("proxy"),
        "no_proxy": options.get("no_proxy"),
    }
    # AWX sets a variable also for a field left empty
    changes = {key: value for key, value in changes.items() if value not in (None, "")}
    if changes.keys() & {"token", "username", "client_cert"}:  # asked for by name: not mixed with the context's user
        changes = dict.fromkeys((*USER_FIELDS, "token_file", "exec_plugin")) | {"headers": ()} | changes
    user, groups = options.get("impersonate_user"), options.get("impersonate_groups") or []
    if user or groups:
        changes["headers"] = _impersonation(user, groups)
    server = str(changes.pop("server", base.server))
    if not server.startswith(("https://", "http://")):
        raise ConfigError(f"host {server!r} is not a URL", "write it with its scheme, as in https://api.example:6443")
    return replace(base, server=server.rstrip("/"), **changes)
