# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The proxy between us and an API server, by the rules that kubectl follows. Pure.

A proxy somebody named (the option, then the kubeconfig's ``proxy-url``) is used for every server. One from the
environment is not used for what ``NO_PROXY`` names nor for loopback, as Go's ``golang.org/x/net/http/httpproxy`` says:
names match their subdomains, ``.name`` only these, addresses and CIDR ranges match addresses, ``*`` everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from .._errors import ConfigError

PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; ``url`` is free of the credentials, so that it can be shown."""

    url: str
    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def proxy_for(server: str, named: str | None, no_proxy: str | None, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy to reach ``server`` through.

    :param named: the proxy asked for by option or kubeconfig.
    :param no_proxy: the option; it wins over ``NO_PROXY``, and exempts from a named proxy too.
    :raises ConfigError: when it is no HTTP proxy.
    """
    url = urlsplit(server)
    from_environment = _variable(environ, f"{url.scheme}_proxy")
    if named:
        exempt = bool(no_proxy) and exempted(url, str(no_proxy))
        return None if exempt else parsed(named)
    if not from_environment or _loopback(url.hostname or ""):
        return None
    return None if exempted(url, no_proxy or _variable(environ, "no_proxy")) else parsed(from_environment)


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def parsed(text: str) -> Proxy:
    """Return the parts of a proxy's URL; without a scheme it is ``http``, as in Go.

    :raises ConfigError: for SOCKS, and for a text that is no URL.
    """
    url = urlsplit(text if "://" in text else f"http://{text}")
    public_url = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    if url.scheme.startswith("socks"):
        raise ConfigError(
            f"proxy {public_url} is a SOCKS proxy, which is not supported", "name an HTTP proxy (CONNECT)"
        )
    try:
        port = url.port or PORTS[url.scheme]
    except (ValueError, KeyError) as error:
        raise ConfigError(f"proxy {public_url} is not a URL", "write it as in http://proxy.example:3128") from error
    if not url.hostname:
        raise ConfigError(f"proxy {public_url} names no host", "write it as in http://proxy.example:3128")
    user, password = (unquote(part) if part is not None else None for part in (url.username, url.password))
    return Proxy(public_url, url.scheme, url.hostname, port, user, password)


def exempted(url: SplitResult, no_proxy: str) -> bool:
    """Whether ``no_proxy`` names the host (and port, where it gives one) of ``url``."""
    host, port = (url.hostname or "").rstrip("."), url.port or PORTS.get(url.scheme)
    address = _address(host)
    for entry in _entries(no_proxy):
        if entry == "*":
            return True
        if address is not None and _holds(entry, address):
            return True
        name, _colon, entry_port = entry.rpartition(":") if entry.rpartition(":")[2].isdigit() else (entry, "", "")
        if entry_port and int(entry_port) != port:
            continue
        name = name.strip("[]").removeprefix("*")
        if host == name or (host.endswith(name) if name.startswith(".") else host.endswith(f".{name}")):
            return True
    return False


def _entries(no_proxy: str) -> Iterator[str]:
    return (entry.strip().lower() for entry in no_proxy.split(",") if entry.strip())


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _holds(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
