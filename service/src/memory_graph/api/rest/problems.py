"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from memory_graph.model.errors import shortened

MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger(__name__)


class Problem(Exception):
    """A refused request. detail: a sentence with the way out. retry_after_s: when to send it again."""

    def __init__(self, status: HTTPStatus, detail: str, *, retry_after_s: int | None = None) -> None:
        self.detail = shortened(detail)
        super().__init__(self.detail)
        self.status = status
        self.retry_after_s = retry_after_s


def response_of(problem: Problem) -> Response[Any]:
    """Make the response to a refused request."""
    content = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": int(problem.status),
        "detail": problem.detail,
    }
    headers = {} if problem.retry_after_s is None else {"Retry-After": str(problem.retry_after_s)}
    return Response(content, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def on_problem(_: Request[Any, Any, Any], error: Problem) -> Response[Any]:
    return response_of(error)


def on_http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer a request that Litestar itself refuses: an unknown path, another method, too large a body."""
    return response_of(Problem(HTTPStatus(error.status_code), error.detail or HTTPStatus(error.status_code).phrase))


def on_internal_error(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer a request that failed by a bug. Its text may hold content, so only the log has it, with the trace."""
    _log.error("request failed", error_type=type(error).__name__, exc_info=error)
    return response_of(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed; its log says why"))
