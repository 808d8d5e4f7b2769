"""Errors as clients see them: gRPC statuses, problem details of REST, exit codes of the command line."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2

from memory_graph.api import status as api_status
from memory_graph.cli import failure
from memory_graph.model import errors
from memory_graph.store.protocol import Overrun
from tools.reference.markdown import code, document, paragraph, table

_REST = Path(__file__).parents[2] / "service/src/memory_graph/api/rest"
_DETAILS = ("grpc-status-details-bin", "last-event-id")
_EVENT_ID = "8812.1"
_EXIT_CODES = (
    ("0", "done"),
    (str(failure.FAILED), "failed, or the server is not serving"),
    (str(failure.WRONG_INPUT), "wrong usage or input, or a wrong setting"),
    (str(failure.NOT_FOUND), "not found"),
    (str(failure.UNREACHABLE), "server or brokers not reachable, or too slow"),
    (str(failure.TASK_FAILED), "a background task of `serve` or `worker` ended; start the process again"),
)


def page() -> str:
    """The page: one table for each way that an error takes."""
    return document(
        "Errors",
        "`memory_graph.model.errors`, `memory_graph.api` and `memory_graph.cli.failure`",
        "## gRPC",
        paragraph(
            "The message of a status is one sentence for the caller, with the way out. INTERNAL without details is a"
            " fault of the service; its log has the stack. An error that may be retried says so with RetryInfo."
        ),
        table(("code", "when", "details"), sorted(_statuses())),
        "## REST",
        paragraph(
            "Errors are problem details (RFC 9457, `application/problem+json`) with `type`, `title`, `status` and"
            " `detail`. 429 and 503 carry `Retry-After`. Unknown paths and methods are answered likewise."
        ),
        table(("status", "detail"), sorted(set(_problems()))),
        "## Exit codes of `memory-graph`",
        table(("exit code", "meaning"), _EXIT_CODES),
        paragraph("A command that calls a server ends with 1 for every gRPC code but these:"),
        table(("gRPC code", "exit code"), sorted(_exit_codes())),
    )


def _statuses() -> Iterator[tuple[str, str, str]]:
    for kind in _kinds(errors.GraphError):
        error = kind.__new__(kind)
        error.args = ("",)
        if issubclass(kind, errors.Invalid):
            error = errors.Invalid(errors.Violation("field", "description"))
        yield _status(kind, error)
    yield _status(Overrun, Overrun(_EVENT_ID))


def _status(kind: type[Exception], error: Exception) -> tuple[str, str, str]:
    error.__dict__.setdefault("last_event_id", _EVENT_ID)
    status_code, _, metadata = api_status.status_of(error)  # type: ignore[arg-type]  # one of its kinds
    return code(status_code.name), _sentence(kind), ", ".join(_detail(name, value) for name, value in metadata)


def _kinds(base: type[errors.GraphError]) -> Iterator[type[errors.GraphError]]:
    """The errors of the graph that a call may end with: those of the model and of the API."""
    for kind in base.__subclasses__():
        if kind.__module__ in (errors.__name__, api_status.__name__):
            yield kind
        yield from _kinds(kind)


def _detail(name: str, value: str | bytes) -> str:
    assert name in _DETAILS
    if not isinstance(value, bytes):
        return f"trailing metadata {code(name)}"
    status = status_pb2.Status.FromString(value)
    for detail in status.details:
        kind = detail.TypeName().rpartition(".")[2]
        message = getattr(error_details_pb2, kind)()
        detail.Unpack(message)
    return ", ".join(code(detail.TypeName()) for detail in status.details)


def _sentence(kind: type[Exception]) -> str:
    text = inspect.getdoc(kind)
    assert text, f"{kind.__name__} has no docstring"
    return text.partition("\n\n")[0]


def _problems() -> Iterator[tuple[str, str]]:
    for path in sorted(_REST.glob("*.py")):
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in functions:
            texts = {
                ast.unparse(assignment.targets[0]): assignment.value
                for assignment in ast.walk(function)
                if isinstance(assignment, ast.Assign)
            }
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "Problem":
                    status, detail, *_ = call.args
                    if isinstance(status, ast.Attribute):
                        name = f"{HTTPStatus[status.attr].value} {status.attr.replace('_', ' ').title()}"
                        yield name, _template(texts.get(ast.unparse(detail), detail))


def _template(text: ast.expr) -> str:
    """A sentence with … for what varies; where all of it does, that it says what is wrong."""
    if isinstance(text, ast.Constant):
        return str(text.value)
    if isinstance(text, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in text.values)
    return "a sentence that says what is wrong with the request"


class _Error(grpc.RpcError):
    def __init__(self, status_code: grpc.StatusCode) -> None:
        self._code = status_code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return ""

    def trailing_metadata(self) -> tuple[()]:
        return ()


def _exit_codes() -> Iterator[tuple[str, str]]:
    for status_code in grpc.StatusCode:
        exit_code = failure.failure_of(_Error(status_code), "").exit_code
        if exit_code != failure.FAILED:
            yield code(status_code.name), str(exit_code)
