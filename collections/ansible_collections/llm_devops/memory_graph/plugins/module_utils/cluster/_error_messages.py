# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Error messages: failures of the transport and of the API server as one sentence with a way out."""

from __future__ import annotations

import re
from typing import Any

from .._errors import ApiError, Unreachable
from .._json import mappings, text
from ._kubeconfig import ClusterConnection

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>[\w:-]+) resource "(?P<resource>[^"]+)"'
    r' in API group "(?P<group>[^"]*)"(?: (?P<where>.*))?'
)
NO_BASIC = "Kubernetes takes no username and password since 1.19: use api_key, client_cert or an exec plugin"
NO_CREDENTIALS = "give it credentials: api_key, client_cert, or a kubeconfig whose context has a user"
_NEVER_RIGHT = re.compile(
    r"failed to create typed (patch|live|new) object|field not declared in schema"
    r"|unable to convert unstructured object|failed to convert new object|error decoding from json"
)
MAX_MESSAGE_CHARS, MAX_CAUSE_CHARS, MAX_CAUSES = 600, 160, 8
_GOT = re.compile(r",? got .*$")
_CONFLICT = re.compile(r'conflict with "(?P<manager>[^"]+)"')
_WRITE_HTTPS = "write the host with https://"
_DROPPED = "the connection was dropped"
TAKE_OVER = "leave these fields out of the manifest, or take them over with force_conflicts: true"


def unreachable(access: ClusterConnection, error: Exception, proxy: str = "") -> Unreachable:
    """Return the error of a request that got no answer.

    :param proxy: URL of the proxy between us and the server, without credentials.
    """
    text, server, source = str(error), access.server, access.source
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return _untrusted(text, server, source, own_ca=access.ca is not None)
    if (proxy and "ProxyError" in type(error).__name__) or "Tunnel connection failed" in text:
        return _by_proxy(text, server, proxy)
    if "SSLError" in type(error).__name__ or "[SSL" in text:
        return Unreachable(
            f"{server} does not complete a TLS handshake: {_last(text)}", "check scheme and port of the host"
        )
    if "NameResolution" in type(error).__name__ or "resolve" in text.lower():
        return Unreachable(f"the host of {server} has no address", f"check the name in {source}, or your DNS")
    reason, way_out = cause(error), f"is the cluster running? The address comes from {source}"
    # A server of HTTPS answers HTTP with 400 and hangs up: which of the two arrives is chance.
    if reason == _DROPPED and server.startswith("http://"):
        way_out = f"if it wants HTTPS, {_WRITE_HTTPS}; the address comes from {source}"
    return Unreachable(f"cannot reach the Kubernetes API at {server}: {reason}", way_out)


def cause(error: Exception) -> str:
    """Return the reason of a failed connection in a few words."""
    text = str(error)
    if "timed out" in text.lower():
        return "no answer in time"
    if "refused" in text.lower():
        return "connection refused"
    if any(word in text for word in ("RemoteDisconnected", "reset", "aborted", "EOF", "IncompleteRead", "Broken pipe")):
        return _DROPPED
    return _last(text)


def is_permanent(error: Exception) -> bool:
    """Whether no retry can help: the certificate is not trusted, or the proxy refuses us."""
    text = str(error)
    refused = any(f"Tunnel connection failed: {status}" in text for status in (401, 403, 405, 407))
    return "CERTIFICATE_VERIFY_FAILED" in text or "WRONG_VERSION_NUMBER" in text or refused


def unsent(error: Exception) -> bool:
    """Whether no connection was made, so that the request cannot have been carried out."""
    return type(error).__name__ in ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "ProxyError")


def _untrusted(text: str, server: str, source: str, *, own_ca: bool) -> Unreachable:
    detail = (
        text.rsplit("CERTIFICATE_VERIFY_FAILED] ", maxsplit=1)[-1]
        .rsplit("certificate verify failed: ", maxsplit=1)[-1]
        .split(" (_ssl", maxsplit=1)[0]
    )
    if "mismatch" in detail:
        way_out = "use a name the certificate is made for, or set tls-server-name in the kubeconfig to one"
    elif own_ca:
        way_out = f"another CA than the one of {source} signed it: give the right one with ca_cert"
    else:
        way_out = f"give the cluster's CA (ca_cert, or certificate-authority-data in {source})"
    return Unreachable(f"{server} shows a certificate we cannot verify: {detail}", way_out)


def _by_proxy(text: str, server: str, proxy: str) -> Unreachable:
    if "407" in text:
        return Unreachable(
            f"proxy {proxy} wants other credentials (407)", "name them in its URL: http://user:password@host:port"
        )
    if "Tunnel connection failed" in text:
        answer = text.rsplit("Tunnel connection failed: ", maxsplit=1)[-1].strip("()'\" ")
        return Unreachable(
            f"proxy {proxy} does not let us through to {server}: {answer}",
            "have it allow CONNECT to that host and port, or name the host in no_proxy",
        )
    detail = "connection refused" if "refused" in text.lower() else _last(text)
    return Unreachable(
        f"cannot reach the proxy {proxy}: {detail}",
        "check the option proxy, the kubeconfig's proxy-url and HTTPS_PROXY, or name the host in no_proxy",
    )


def not_kubernetes(access: ClusterConnection, verb: str, path: str, status: int, location: str = "") -> Unreachable:
    """Return the error of an answer that no API server gives: a login page, or a redirect to one."""
    content = f"a redirect to {location}" if location else "something that is not JSON"
    return Unreachable(
        f"{access.server} answered {verb} {path} with {content} (HTTP {status})",
        "is this a Kubernetes API server, or a login page before it?",
    )


def _last(text: str) -> str:
    return text.rsplit(": ", 1)[-1].strip("()'\" ") or text


def api_error(verb: str, path: str, status: int, body: dict[str, Any], access: ClusterConnection) -> ApiError:
    """Return the error of a failure ``Status``."""
    message = " ".join(str(body.get("message") or f"HTTP {status}").split())
    if status == 401:
        return ApiError(
            401,
            body,
            f"{access.server} does not accept the credentials of {access.source} (401)",
            NO_BASIC if access.username else "log in again, or check api_key and client_cert",
        )
    if status == 400 and "HTTP request to an HTTPS server" in message:
        return ApiError(400, body, f"{access.server} wants HTTPS", _WRITE_HTTPS)
    if status == 403:
        return _forbidden(body, message, access)
    owned = _owned_by_others(body) if status == 409 else ""
    if owned:
        return ApiError(409, body, f"another manager owns fields we want to set: {owned}", TAKE_OVER)
    if status == 404 and body.get("reason") != "NotFound":
        return ApiError(404, body, f"{access.server} knows nothing at {path}", "is this a Kubernetes API server?")
    if status == 422 and len(message) > MAX_MESSAGE_CHARS:
        message = _by_causes(body, message)
    if status == 500 and "failed to create typed patch object" in message:
        return ApiError(500, body, _ill_typed(message), "correct the field, or leave it out")
    return ApiError(status, body, message if body.get("message") else f"{verb} {path} answered {message}")


def is_about_manifest(error: ApiError) -> bool:
    """Whether a 500 is about the manifest: server-side apply answers so to a field or type its schema does not have.

    It is read from the server's own message, of which the error's sentence may have left that out.
    """
    return bool(_NEVER_RIGHT.search(str(error.body.get("message"))))


def _by_causes(body: dict[str, Any], message: str) -> str:
    """Return a long refusal by its causes, each without the value it quotes: a pod template alone takes 2 KB of Go."""
    causes = []
    for cause in mappings(body, "details", "causes"):
        detail = str(cause.get("message"))
        if len(detail) > MAX_CAUSE_CHARS:
            detail = f"{detail.partition(':')[0]}: {detail.rpartition(': ')[2][-MAX_CAUSE_CHARS:]}"
        causes.append(f"{cause.get('field')}: {detail}")
    more = f"; and {len(causes) - MAX_CAUSES} more" if len(causes) > MAX_CAUSES else ""
    head = message.partition(" is invalid")[0][:MAX_CAUSE_CHARS]
    return f"{head} is invalid: {'; '.join(causes[:MAX_CAUSES])}{more}" if causes else f"{message[:MAX_MESSAGE_CHARS]}…"


def _ill_typed(message: str) -> str:
    """Return the complaints of server-side apply about fields, without the Go values it quotes."""
    _head, _colon, errors = message.partition("): ")
    parts = [part for part in re.split(r"(?:^|\s)(?=\.[A-Za-z])", errors.removeprefix("errors: ")) if part.strip()]
    sentences = []
    for error in parts:
        path, _colon, reason = error.strip().lstrip(".").partition(": ")
        if "not declared in schema" in reason:
            sentences.append(f"{path} is no field of it")
        else:
            sentences.append(f"{path}: {_GOT.sub('', reason)}".removesuffix(": "))
    return "; ".join(sentences)


def _forbidden(body: dict[str, Any], message: str, access: ClusterConnection) -> ApiError:
    match = _FORBIDDEN.search(message)
    if not match:  # refused by admission, such as a quota or Pod Security, and not by RBAC
        return ApiError(403, body, message)
    user, verb, resource = match["user"], match["verb"], match["resource"]
    named = f"{resource}.{match['group']}" if match["group"] else resource
    where = re.sub(r'^in the namespace "([^"]+)".*', r"in namespace \1", match["where"] or "")
    where = re.sub(r"^at the cluster scope.*", "at cluster scope", where)
    if user == "system:anonymous":
        nobody = f"{access.server} takes us for nobody (system:anonymous), who may not {verb} {named} {where}".rstrip()
        return ApiError(403, body, nobody, NO_BASIC if access.username else NO_CREDENTIALS)
    flag = f" -n {where.split()[-1]}" if where.startswith("in namespace") else ""
    return ApiError(
        403,
        body,
        f"{access.server}: {user} may not {verb} {named} {where}".rstrip(),
        f"have a Role granted that allows it; kubectl auth can-i {verb} {named}{flag} --as {user} tells when it is",
    )


def _owned_by_others(body: dict[str, Any]) -> str:
    """Return ``data.a, data.b by 'flux'; spec.x by 'helm'`` from a conflict of server-side apply; else nothing.

    Its message says the same, of one field otherwise than of several.
    """
    fields: dict[str, set[str]] = {}
    for cause in mappings(body, "details", "causes"):
        match = _CONFLICT.search(text(cause, "message"))
        if match:
            fields.setdefault(match["manager"], set()).add(text(cause, "field").lstrip("."))
    return "; ".join(f"{', '.join(sorted(names))} by {manager!r}" for manager, names in sorted(fields.items()))
