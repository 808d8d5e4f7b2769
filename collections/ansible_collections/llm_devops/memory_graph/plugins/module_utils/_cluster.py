# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""One pool of keep-alive connections to one API server, shared by all threads of a run."""

from __future__ import annotations

import base64
import json
import os
import random
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from ._errors import ApiError, ClusterError, ConfigError
from ._exec_credential import credential
from ._explain import api_error, unreachable
from ._kubeconfig import Access, access

try:
    import urllib3
    from urllib3.exceptions import HTTPError as TransportError
except ImportError:  # the module names the missing library
    urllib3 = None  # type: ignore[assignment]
    TransportError = OSError  # type: ignore[assignment,misc]

FIELD_MANAGER = "llm-devops-memory-graph"
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
RETRIES = 5
RETRY_STATUS = frozenset({429, 502, 503, 504})
Object = dict[str, Any]
__all__ = ["FIELD_MANAGER", "Cluster", "TransportError", "connect", "urllib3"]


class Cluster:
    """Requests against one API server.

    Retries what is safe: every verb used here is idempotent (server-side apply, delete with a UID precondition, reads).
    A refused connection is retried only after the server has answered once, so that a wrong address fails at once while
    an API server that restarts in the middle of a run is waited for.
    """

    def __init__(self, access: Access, connections: int = 16) -> None:
        self.access = access
        self.api_calls = 0
        self.warnings: list[str] = []
        self.guard: Callable[[str], None] | None = None  # asked before every write; what it raises prevents it
        self._lock = threading.Lock()
        self._answered = False
        self._credential = self._fetch_credential()
        self._http = self._pool(connections)

    def _fetch_credential(self) -> Any:
        plugin = self.access.exec_plugin
        return credential(plugin, self.access.server, self.access.ca) if plugin else None

    def ssl_context(self) -> ssl.SSLContext:
        """The TLS settings of this cluster; also used for port-forward's WebSocket."""
        access = self.access
        try:
            cadata = access.ca.decode() if access.ca else None
            context = ssl.create_default_context(cadata=cadata)
            if not access.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            cert = access.client_cert or (self._credential and self._credential.client_cert)
            key = access.client_key or (self._credential and self._credential.client_key)
            if cert:
                _load_chain(context, cert, key)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise ConfigError(f"the certificates of {access.source} cannot be used: {error}") from error
        return context

    def _pool(self, connections: int) -> Any:
        access = self.access
        settings: dict[str, Any] = {"maxsize": connections, "block": False, "retries": False}
        if access.server.startswith("https:"):
            settings["ssl_context"] = self.ssl_context()
            if access.tls_server_name:
                settings["server_hostname"] = settings["assert_hostname"] = access.tls_server_name
            if not access.verify:
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        proxy = self.proxy()
        return urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)

    def proxy(self) -> str | None:
        """The proxy for this server: option, kubeconfig ``proxy-url``, then the environment."""
        if self.access.proxy:
            return self.access.proxy
        url = urlsplit(self.access.server)
        host = url.hostname or ""
        exempt = [name.strip().lstrip(".") for name in (self.access.no_proxy or "").split(",") if name.strip()]
        if proxy_bypass(url.netloc) or any(host == name or host.endswith(f".{name}") for name in exempt):
            return None
        return getproxies().get(url.scheme)

    def auth_headers(self) -> dict[str, str]:
        access, headers = self.access, dict(self.access.headers)
        token = access.token or (self._credential and self._credential.token)
        if access.token_file:
            try:
                token = access.token_file.read_text().strip()
            except OSError as error:
                raise ConfigError(f"token file {access.token_file} cannot be read: {error.strerror}") from error
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif access.username:
            basic = base64.b64encode(f"{access.username}:{access.password or ''}".encode()).decode()
            headers["Authorization"] = f"Basic {basic}"
        return headers

    def request(self, verb: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None,
                content_type: str = "application/json") -> Any:  # fmt: skip
        """Send one request and return the decoded JSON.

        :raises ApiError: on a failure status. :raises Unreachable: when no answer came.
        """
        response = self._send(verb, path, query, body, content_type, stream=False)
        return json.loads(response.data) if response.data else {}

    def text(self, path: str, query: Mapping[str, Any] | None = None) -> str:
        """GET something that is not JSON, such as a pod's log."""
        return str(self._send("GET", path, query, None, "", stream=False).data.decode(errors="replace"))

    def stream(self, path: str, query: Mapping[str, Any]) -> Any:
        """Open a long answer (a watch); the caller closes it."""
        return self._send("GET", path, query, None, "", stream=True)

    def _send(self, verb: str, path: str, query: Mapping[str, Any] | None, body: Any, content_type: str,
              stream: bool) -> Any:  # fmt: skip
        if self.guard and verb != "GET" and "dryRun" not in (query or {}):
            self.guard(path)
        url = self.access.server + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        read = 330.0 if stream else READ_TIMEOUT
        refreshed = False
        for attempt in range(RETRIES + 1):
            headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER} | self.auth_headers()
            if data is not None:
                headers["Content-Type"] = content_type
            with self._lock:
                self.api_calls += 1
            try:
                response = self._http.request(
                    verb, url, body=data, headers=headers, preload_content=not stream,
                    timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=read),
                )  # fmt: skip
            except TransportError as error:
                if not self._answered or attempt == RETRIES:
                    raise unreachable(self.access.server, self.access.source, error) from error
                time.sleep(_backoff(attempt))
                continue
            self._answered = True
            self._note(response)
            if response.status == 401 and self.access.exec_plugin and not refreshed:
                refreshed, self._credential = True, self._fetch_credential()
                continue
            if response.status in RETRY_STATUS and attempt < RETRIES:
                response.drain_conn()
                time.sleep(_retry_after(response) or _backoff(attempt))
                continue
            if response.status >= 400:
                raise api_error(verb, path, response.status, _status(response), self.access)
            return response
        raise ClusterError(f"{self.access.server} refused the credentials of {self.access.source} twice")

    def _note(self, response: Any) -> None:
        for value in response.headers.getlist("warning"):  # RFC 9111 §5.5: code agent "text"
            text = value.split('"', 1)[-1].rstrip('"').replace('\\"', '"')
            with self._lock:
                if text not in self.warnings:
                    self.warnings.append(text)

    def list(self, path: str, selector: str = "", fields: str = "") -> Iterator[Object]:
        """Every object under ``path``, in pages of 500; kind and apiVersion filled in, which lists omit."""
        query: dict[str, Any] = {"limit": 500}
        if selector:
            query["labelSelector"] = selector
        if fields:
            query["fieldSelector"] = fields
        while True:
            page = self.request("GET", path, query)
            kind = str(page.get("kind", "")).removesuffix("List")
            for item in page.get("items") or []:
                yield {"apiVersion": page.get("apiVersion"), "kind": kind, **item}
            query["continue"] = (page.get("metadata") or {}).get("continue")
            if not query["continue"]:
                return

    def find(self, path: str) -> Object | None:
        """The object at ``path``, or None when there is none."""
        try:
            return dict(self.request("GET", path))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def apply(self, path: str, manifest: Object, *, dry_run: bool = False, force: bool = False) -> tuple[Object, bool]:
        """Server-side apply (KEP-555); returns the resulting object and whether it was created."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        response = self._send("PATCH", path, query, manifest, "application/apply-patch+yaml", stream=False)
        return json.loads(response.data), response.status == 201

    def delete(self, path: str, uid: str | None = None, *, dry_run: bool = False) -> None:
        """Delete in the background; already gone is fine, another object of the same name is left alone."""
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self.request("DELETE", path, {"dryRun": "All"} if dry_run else None, body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise


def connect(options: Mapping[str, Any]) -> Cluster:
    """Open a :class:`Cluster` from a module's auth options and the environment."""
    return Cluster(access(options, os.environ))


def _load_chain(context: ssl.SSLContext, cert: bytes, key: bytes | None) -> None:
    """``ssl`` reads client keys from files only: a private file that lives for one call."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "client.pem"
        path.touch(mode=0o600)
        path.write_bytes(cert + b"\n" + (key or b""))
        context.load_cert_chain(path)


def _backoff(attempt: int) -> float:
    return float(min(0.2 * 2**attempt, 5.0) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret


def _retry_after(response: Any) -> float:
    value = response.headers.get("retry-after", "")
    return min(float(value), 30.0) if value.isdigit() else 0.0


def _status(response: Any) -> Object:
    try:
        body = json.loads(response.data)
    except ValueError:
        return {"message": response.data.decode(errors="replace").strip()[:300]}
    return body if isinstance(body, dict) else {}
