# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Turn what the transport or the API server says into one sentence with a way out."""

from __future__ import annotations

import re
from typing import Any

from ._errors import ApiError, Unreachable
from ._kubeconfig import Access

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"'
    r' in API group "(?P<group>[^"]*)"(?: (?P<where>.*))?'
)
_CONFLICT = re.compile(r'conflict with "(?P<manager>[^"]+)"')


def unreachable(server: str, source: str, error: Exception) -> Unreachable:
    """The sentence for a request that got no answer."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        detail = (
            text.rsplit("CERTIFICATE_VERIFY_FAILED] ", maxsplit=1)[-1]
            .rsplit("certificate verify failed: ", maxsplit=1)[-1]
            .split(" (_ssl", maxsplit=1)[0]
        )
        return Unreachable(
            f"{server} shows a certificate we cannot verify: {detail}",
            f"give the cluster's CA (ca_cert, or certificate-authority-data in {source})",
        )
    if "SSLError" in type(error).__name__ or "[SSL" in text:
        return Unreachable(
            f"{server} does not complete a TLS handshake: {_last(text)}", "check scheme and port of the host"
        )
    if "NameResolution" in type(error).__name__ or "resolve" in text.lower():
        return Unreachable(f"the host of {server} has no address", f"check the name in {source}, or your DNS")
    if "timed out" in text.lower():
        detail = "no answer in time"
    elif "refused" in text.lower():
        detail = "connection refused"
    else:
        detail = _last(text)
    return Unreachable(
        f"cannot reach the Kubernetes API at {server}: {detail}",
        f"is the cluster running? The address comes from {source}",
    )


def _last(text: str) -> str:
    return text.rsplit(": ", 1)[-1].strip("()'\" ") or text


def api_error(verb: str, path: str, status: int, body: dict[str, Any], access: Access) -> ApiError:
    """The sentence for a failure ``Status``."""
    message = " ".join(str(body.get("message") or f"HTTP {status}").split())
    if status == 401:
        return ApiError(
            401,
            body,
            f"{access.server} does not accept the credentials of {access.source} (401)",
            "log in again, or check api_key and client_cert",
        )
    if status == 403:
        return _forbidden(body, message, access)
    if status == 409 and _CONFLICT.search(message):
        return _conflict(body, message)
    if status == 404 and body.get("reason") != "NotFound":
        return ApiError(404, body, f"{access.server} knows nothing at {path}", "is this a Kubernetes API server?")
    return ApiError(status, body, message if body.get("message") else f"{verb} {path} answered {message}")


def _forbidden(body: dict[str, Any], message: str, access: Access) -> ApiError:
    found = _FORBIDDEN.search(message)
    if not found:  # refused by admission, such as a quota or Pod Security, and not by RBAC
        return ApiError(403, body, message)
    user, verb, resource = found["user"], found["verb"], found["resource"]
    named = f"{resource}.{found['group']}" if found["group"] else resource
    where = re.sub(r'^in the namespace "([^"]+)".*', r"in namespace \1", found["where"] or "")
    where = re.sub(r"^at the cluster scope.*", "at cluster scope", where)
    flag = f" -n {where.split()[-1]}" if where.startswith("in namespace") else ""
    return ApiError(
        403,
        body,
        f"{access.server}: {user} may not {verb} {named} {where}".rstrip(),
        f"have a Role granted that allows it; kubectl auth can-i {verb} {named}{flag} --as {user} tells when it is",
    )


def _conflict(body: dict[str, Any], message: str) -> ApiError:
    details = body.get("details") or {}
    fields: dict[str, list[str]] = {}
    for cause in details.get("causes") or []:
        found = _CONFLICT.search(str(cause.get("message", "")))
        if found:
            fields.setdefault(found["manager"], []).append(str(cause.get("field", "")).lstrip("."))
    owned = "; ".join(f"{', '.join(sorted(set(names)))} by {manager!r}" for manager, names in sorted(fields.items()))
    return ApiError(
        409,
        body,
        f"another manager owns fields we want to set: {owned or message}",
        "leave these fields out of the manifest, or take them over with force_conflicts: true",
    )
