# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""One pool of keep-alive connections to one API server, shared by all threads of a run."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from .._errors import ManifestError, Unreachable
from ._error_messages import api_error, cause, is_about_manifest, is_permanent, not_kubernetes, unreachable, unsent
from ._identity import Headers, Identity
from ._kubeconfig import ClusterConnection
from ._proxy import Proxy, proxy_for
from ._retry import QUICK_TRIES, RetryableFailure, RetryWindow
from ._secret_values import SecretValues
from ._tls import client_context

try:
    import urllib3
    from urllib3.exceptions import HTTPError as TransportError
except ImportError:  # the module names the missing library
    urllib3 = None  # type: ignore[assignment]
    TransportError = OSError  # type: ignore[assignment,misc]

FIELD_MANAGER = "llm-devops-memory-graph"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
CONNECT_TIMEOUT_S = 10.0  # a busy API server takes seconds for a TLS handshake
READ_TIMEOUT_S = 65.0  # more than the API server's own request timeout: its 504 says more than our giving up
WATCH_TIMEOUT_S = 330.0
# A peer that vanished without a word is noticed within a minute, in the middle of a silent watch too.
KEEPALIVE = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, option), seconds)
    for option, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, option)
]
Object = dict[str, Any]
__all__ = ["APPLY_PATCH", "FIELD_MANAGER", "JSON", "Object", "Transport", "TransportError", "urllib3"]


class Transport:
    """Requests against one API server.

    Tries again what is safe, for as long as :class:`RetryWindow` lasts: reads, server-side apply, deletes, dry runs and
    reviews. What is created by name cannot be created twice: then the second try says 409. Any other POST is repeated
    only when it cannot have been carried out. A refused connection is tried again only after the server has answered
    once: a wrong address fails at once, while an API server that restarts in the middle of a run is waited for, and
    ``warnings`` says how long.
    """

    def __init__(
        self, access: ClusterConnection, connections: int = 16, retry_window: RetryWindow | None = None
    ) -> None:
        self.access = access
        self.api_calls = 0
        self.warnings: list[str] = []
        self.on_notice: Callable[[str], None] | None = None  # called while the server is away, for people who watch
        self.guard: Callable[[str], None] | None = None  # called before every write; an exception prevents it
        self.secret_values = SecretValues()  # of all that was sent or read: no error of ours quotes one
        self._retry_window = retry_window or RetryWindow()
        self._lock = threading.Lock()
        self._answered = False
        self._identity = Identity(access)
        self.proxy: Proxy | None = proxy_for(access.server, access.proxy, access.no_proxy, os.environ)
        self._connections = connections
        self._http, self._adopted = self._pool(), self._identity.generation
        self._headers: dict[tuple[int, str, str], Any] = {}
        forwarded = self.proxy and access.server.startswith("http:")  # without CONNECT a proxy needs the whole URL
        self._prefix = access.server if forwarded else urlsplit(access.server).path

    def ssl_context(self) -> ssl.SSLContext:
        """Return the TLS settings of this cluster; also used for port-forward's WebSocket."""
        return client_context(self.access, *self._identity.certificate())

    def _pool(self) -> Any:
        access, url = self.access, urlsplit(self.access.server)
        settings: dict[str, Any] = {"maxsize": self._connections, "block": False, "socket_options": KEEPALIVE}
        if url.scheme == "https":
            settings["ssl_context"] = self.ssl_context()
            if access.tls_server_name:
                settings["server_hostname"] = access.tls_server_name
            if not access.verify:
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if self.proxy:
            manager = urllib3.ProxyManager(self.proxy.url, proxy_headers=_proxy_headers(self.proxy), **settings)
            return manager.connection_from_host(url.hostname, url.port, url.scheme)
        kind = urllib3.HTTPSConnectionPool if url.scheme == "https" else urllib3.HTTPConnectionPool
        return kind(url.hostname or "", url.port, **settings)

    def auth_headers(self) -> Headers:
        """Return the headers of authentication; also used for port-forward's WebSocket."""
        return self._identity.headers()[0]

    def request(self, verb: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None,
                content_type: str = "application/json") -> Any:  # fmt: skip
        """Send one request and return the decoded JSON.

        :raises ApiError: on a failure status. :raises Unreachable: when no answer came.
        """
        return self._decoded(verb, path, self._send(verb, path, query, body, content_type, stream=False))

    def text(self, path: str, query: Mapping[str, Any] | None = None) -> str:
        """GET something that is not JSON, such as a pod's log."""
        return str(self._send("GET", path, query, None, "", stream=False).data.decode(errors="replace"))

    def stream(self, path: str, query: Mapping[str, Any]) -> Any:
        """Open a long answer (a watch), which the caller closes."""
        return self._send("GET", path, query, None, "", stream=True)

    def _decoded(self, verb: str, path: str, response: Any) -> Any:
        try:
            answer = json.loads(response.data) if response.data else {}
        except ValueError as error:
            raise not_kubernetes(self.access, verb, path, response.status) from error
        if isinstance(answer, dict) and answer.get("kind") in ("Secret", "SecretList"):
            self.secret_values.add(answer)
        return answer

    def _send(self, verb: str, path: str, query: Mapping[str, Any] | None, body: Any, content_type: str,
              stream: bool, accept: str = JSON) -> Any:  # fmt: skip
        url = self._prefix + path + (f"?{urlencode(query)}" if query else "")
        self.secret_values.add(body)
        data = None if body is None else _encoded(body)
        repeatable = verb != "POST" or path.endswith("reviews") or "dryRun" in (query or {}) or _named(body)
        if self._retry_window.exhausted():
            raise Unreachable(f"{self.access.server} is away", "run again when it is back: what is done stays done")
        attempt, renewed = self._retry_window.attempt(), False
        while True:
            if self.guard and verb != "GET" and "dryRun" not in (query or {}):  # each time: a pause may have been long
                self.guard(path)
            headers, generation = self._headers_for(content_type if data is not None else "", accept)
            try:
                response = self._try(verb, url, data, headers, stream)
            except TransportError as error:
                failure = self._no_answer(error, repeatable)
            else:
                self._answered = True
                if response.status < 300:
                    self._worked(response)
                    return response
                if response.status == 401 and not renewed and self._identity.renew(generation):
                    renewed = True
                    continue
                failure = self._refusal(response, verb, path, content_type, repeatable, body)
            pause, notice = attempt.pause(failure), self._retry_window.notice()
            if notice and self.on_notice:
                self.on_notice(f"{self.access.server} {notice}")
            time.sleep(pause)

    def _headers_for(self, content_type: str, accept: str = JSON) -> tuple[Any, int]:
        identity, generation = self._identity.headers()
        if generation != self._adopted:
            self._adopt(generation)
        headers = self._headers.get((generation, content_type, accept))
        if headers is None:
            headers = urllib3.HTTPHeaderDict([("Accept", accept), ("User-Agent", FIELD_MANAGER)])
            for name, value in identity:
                headers.add(name, value)
            if content_type:
                headers["Content-Type"] = content_type
            if len(dict(headers)) == len(list(headers.items())):  # a dict is quicker, but holds no header twice
                headers = dict(headers)
            self._headers[generation, content_type, accept] = headers
        return headers, generation

    def _adopt(self, generation: int) -> None:
        """Connections made with an old client certificate go on speaking in its name: begin new ones."""
        with self._lock:
            if generation != self._adopted:
                self._adopted = generation
                if self._identity.certificate()[0] and not self.access.client_cert:
                    self._http = self._pool()

    def _try(self, verb: str, url: str, data: bytes | None, headers: Any, stream: bool) -> Any:
        with self._lock:
            self.api_calls += 1
        read = WATCH_TIMEOUT_S if stream else READ_TIMEOUT_S
        response = self._http.request(
            verb, url, body=data, headers=headers, retries=False, redirect=False, assert_same_host=False,
            preload_content=not stream, timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read),
        )  # fmt: skip
        if stream and response.status >= 300:
            response.read(cache_content=True)
        return response

    def _no_answer(self, error: TransportError, repeatable: bool) -> RetryableFailure:
        sentence = unreachable(self.access, error, self.proxy.url if self.proxy else "")
        reason = cause(error)
        never_answered = not self._answered and (unsent(error) or reason == "no answer in time")
        if is_permanent(error) or never_answered:
            raise sentence from error
        if not repeatable and not unsent(error):
            sentence.message += ", and the request may have been carried out"
            raise sentence from error
        return RetryableFailure(sentence, reason, max_tries=0 if self._answered else QUICK_TRIES)

    def _refusal(self, response: Any, verb: str, path: str, content_type: str, repeatable: bool,
                 sent: Any) -> RetryableFailure:  # fmt: skip
        status, body = response.status, self.secret_values.hidden(_status(response), about=sent)
        if status < 400:
            raise not_kubernetes(self.access, verb, path, status, response.headers.get("location", ""))
        error, pause = api_error(verb, path, status, body, self.access), _retry_after(response)
        if status == 429 or (status == 503 and (pause or not path.startswith("/apis/"))):
            return RetryableFailure(error, f"HTTP {status}", pause)
        if status == 503 and self._ready():  # an aggregated API is away, not the API server
            error.way_out = "kubectl get apiservices tells which API is not served, and why"
            return RetryableFailure(error, f"HTTP {status}", max_tries=QUICK_TRIES)
        if status in (502, 503, 504) and repeatable:
            return RetryableFailure(error, f"HTTP {status}", pause)
        etcd = "etcdserver" in error.message
        if status == 500 and repeatable and not is_about_manifest(error):
            return RetryableFailure(
                error, "etcd" if etcd else "HTTP 500", pause, max_tries=0 if etcd or pause else QUICK_TRIES
            )
        if status == 409 and content_type == APPLY_PATCH and not error.causes:  # two writers met; ours has no version
            return RetryableFailure(error, "HTTP 409", max_tries=QUICK_TRIES)
        if status in (401, 403) and self._retry_window.away():  # its authorizer starts after it
            return RetryableFailure(error, f"HTTP {status}", max_tries=QUICK_TRIES)
        raise error

    def _ready(self) -> bool:
        try:
            return bool(self._try("GET", f"{self._prefix}/readyz", None, self._headers_for("")[0], False).status < 500)
        except TransportError:
            return False

    def _worked(self, response: Any) -> None:
        waited = self._retry_window.answered()
        messages = [f"{self.access.server}: {waited}"] if waited else []
        messages += [  # RFC 9111 §5.5: code agent "text"
            value.split('"', 1)[-1].rstrip('"').replace('\\"', '"') for value in response.headers.getlist("warning")
        ]
        for warning in map(self.secret_values.hide, messages):
            with self._lock:
                if warning not in self.warnings:
                    self.warnings.append(warning)


def _encoded(body: Any) -> bytes:
    """Return the body as JSON that is YAML too: an API server reads what is applied as YAML.

    YAML knows no pairs of surrogates, so characters beyond U+FFFF are written as they are; control characters and the
    like are escaped, which YAML requires.
    """
    document = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    try:
        return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", document).encode()
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"a text holds half a character (U+{ord(document[error.start]):04X}, half of a surrogate pair)",
            "it was cut off in the middle of it: write the whole character, or leave it out",
        ) from error


def _proxy_headers(proxy: Proxy) -> dict[str, str]:
    if proxy.user is None:
        return {}
    return dict(urllib3.make_headers(proxy_basic_auth=f"{proxy.user}:{proxy.password or ''}"))


def _named(body: Any) -> bool:
    return isinstance(body, dict) and bool((body.get("metadata") or {}).get("name"))


def _retry_after(response: Any) -> float:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else 0.0


def _status(response: Any) -> Object:
    try:
        body = json.loads(response.data)
    except ValueError:
        return {"message": response.data.decode(errors="replace").strip()[:300]}
    return body if isinstance(body, dict) else {}
