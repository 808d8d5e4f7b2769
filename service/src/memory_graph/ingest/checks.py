"""The rules of nodes and edges (contract §1). A check collects all violations, each with the path of its field."""

from __future__ import annotations

import math

import msgspec
import re2

from memory_graph.ingest.json_text import TOO_DEEP, syntax_problem, too_deep
from memory_graph.model.errors import Invalid, Violation
from memory_graph.model.ids import canonical
from memory_graph.model.nodes import (
    DATA_TYPES,
    AgentData,
    Edge,
    ErrorData,
    InvocationData,
    MetricData,
    ModelData,
    Node,
    NodeData,
    PromptData,
    ResponseData,
    TemplateData,
    ToolInvocationData,
)

MAX_CONTENT_BYTES = 1_000_000
"""Longest content of a prompt, response, template or tool field, in UTF-8 bytes (contract §1)."""
MAX_PATTERN_MEMORY = 1 << 20
"""Most memory of a compiled validation_pattern, in bytes."""

ARM = {
    "SessionData": "session",
    "PromptData": "prompt",
    "ResponseData": "response",
    "ToolInvocationData": "tool_invocation",
    "AgentData": "agent",
    "TemplateData": "template",
    "ModelData": "model",
    "InvocationData": "invocation",
    "MetricData": "metric",
    "ErrorData": "error",
}
"""The wire name of each kind of data."""

MAX_TOKENS = 2**63 - 1
_EMPTY = "must not be empty"
_CALLS_TOOLS = frozenset({"function_call", "tool_call", "tool_calls", "tool_use"})
"""The finish reasons by which providers say that a response ends with tool calls."""
_NO_UUID = "must be a UUID such as 0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77"
_decode_json = msgspec.json.Decoder().decode


class Checker:
    """A collector of violations; `done` raises them together."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        self.violations.append(Violation(field.lstrip("."), description))

    def id(self, field: str, value: str) -> str:
        """Return the canonical id; an empty or malformed one is a violation."""
        id = canonical(value)
        if id is None:
            self.add(
                field,
                _NO_UUID if value else _EMPTY,
            )
            return value
        return id

    def content(self, field: str, value: str) -> None:
        """Check that text is not empty and not over MAX_CONTENT_BYTES."""
        if not value:
            self.add(field, _EMPTY)
        self.size(field, value)

    def size(self, field: str, value: str) -> None:
        """Check that text is not over MAX_CONTENT_BYTES."""
        problem = size_problem(value)
        if problem:
            self.add(field, problem)

    def json(self, field: str, value: str) -> None:
        """Check JSON text; empty means absent."""
        if value:
            self.size(field, value)
            if too_deep(value):
                self.add(field, TOO_DEEP)
                return
            try:
                _decode_json(value.encode())
            except msgspec.DecodeError as error:
                self.add(field, f"must be JSON: {syntax_problem(value.encode(), error)}")

    def not_negative(self, field: str, value: float) -> None:
        """Check that a number is finite and not below 0."""
        if not 0 <= value < math.inf:
            self.add(field, f"is {value}; must {'not be negative' if value < 0 else 'be a number'}")

    def done(self) -> None:
        """Raise `Invalid` with all violations, if there are any."""
        if self.violations:
            raise Invalid(*self.violations)


def check_node(checker: Checker, prefix: str, node: Node) -> None:
    """Check a node's type against its data, and the data by its own rules. prefix: the node's path, say `node`."""
    arm = ARM[type(node.data).__name__]
    if not isinstance(node.data, DATA_TYPES[node.type]):
        checker.add(f"{prefix}.type", f"is {node.type.name} but the data is `{arm}`")
    check_data(checker, data_path(prefix, arm), node.data)


def data_path(prefix: str, arm: str) -> str:
    """Return the path of a node's data: below the node, or the prefix if the request has the data itself."""
    return prefix if prefix in ("", arm) else f"{prefix}.{arm}"


def check_data(checker: Checker, path: str, data: NodeData) -> None:
    """Check one kind of data; `path` is its path in the request."""
    match data:
        case PromptData():
            checker.id(f"{path}.session_id", data.session_id)
            checker.content(f"{path}.content", data.content)
            if data.metadata is not None:
                checker.not_negative(f"{path}.metadata.temperature", data.metadata.temperature)
                checker.not_negative(f"{path}.metadata.max_tokens", data.metadata.max_tokens or 0)
        case ResponseData():
            checker.id(f"{path}.prompt_id", data.prompt_id)
            _check_response(checker, path, data)
        case ToolInvocationData():
            _check_tool(checker, path, data)
        case TemplateData():
            _check_template(checker, path, data)
        case AgentData() | MetricData():
            checker.content(f"{path}.name", data.name)
        case InvocationData():
            checker.content(f"{path}.model_id", data.model_id)
            checker.not_negative(f"{path}.token_count", data.token_count)
            checker.not_negative(f"{path}.latency_ms", data.latency_ms)
        case ModelData():
            checker.content(f"{path}.model_id", data.model_id)
        case ErrorData():
            checker.content(f"{path}.error_type", data.error_type)
            checker.size(f"{path}.message", data.message)


def size_problem(text: str) -> str | None:
    """Return why a text is over MAX_CONTENT_BYTES, or None."""
    if len(text) * 4 <= MAX_CONTENT_BYTES or len(text.encode()) <= MAX_CONTENT_BYTES:
        return None
    return f"is {len(text.encode()):,} bytes; at most {MAX_CONTENT_BYTES:,} are accepted"


def total_of(prompt: int, completion: int, total: int) -> int:
    """Return the total of tokens as it is stored."""
    return min(total or max(prompt, 0) + max(completion, 0), MAX_TOKENS)


def calls_tools(finish_reason: str) -> bool:
    """Return whether a response ended to call tools, by any provider's name for it. Such a response needs no text."""
    return finish_reason.lower() in _CALLS_TOOLS


def total_problem(prompt: int, completion: int, total: int) -> str | None:
    """Return why a total of tokens is wrong, or None. It may exceed the sum (some providers count reasoning and tool
    prompts apart), and 0 means the sum."""
    if not total or total >= min(prompt + completion, MAX_TOKENS):
        return None
    return f"is {total:,}, less than {prompt:,} and {completion:,} together; give their sum at least, or leave it out"


def _check_response(checker: Checker, path: str, data: ResponseData) -> None:
    metadata, usage = data.metadata, data.token_usage
    if data.content or (metadata is not None and calls_tools(metadata.finish_reason)):
        checker.size(f"{path}.content", data.content)
    else:
        reasons = ", ".join(sorted(_CALLS_TOOLS))
        checker.add(f"{path}.content", f"{_EMPTY}, unless metadata.finish_reason says that it calls tools ({reasons})")
    if metadata is not None:
        checker.not_negative(f"{path}.metadata.latency_ms", metadata.latency_ms)
    if usage is None:
        return
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        checker.not_negative(f"{path}.token_usage.{name}", getattr(usage, name))
    problem = total_problem(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    if problem and usage.total_tokens > 0:
        checker.add(f"{path}.token_usage.total_tokens", problem)


def _check_tool(checker: Checker, path: str, data: ToolInvocationData) -> None:
    checker.id(f"{path}.response_id", data.response_id)
    checker.content(f"{path}.tool_name", data.tool_name)
    checker.json(f"{path}.parameters", data.parameters)
    checker.json(f"{path}.result", data.result or "")
    checker.size(f"{path}.error", data.error or "")
    checker.not_negative(f"{path}.duration_ms", data.duration_ms)
    checker.not_negative(f"{path}.retry_count", data.retry_count)


def _check_template(checker: Checker, path: str, data: TemplateData) -> None:
    checker.content(f"{path}.name", data.name)
    if "parent_id" in data.metadata:
        checker.id(f"{path}.metadata[parent_id]", data.metadata["parent_id"])
        checker.size(f"{path}.template_text", data.template_text)
    else:
        checker.content(f"{path}.template_text", data.template_text)
    names: set[str] = set()
    for index, variable in enumerate(data.variables):
        variable_path = f"{path}.variables[{index}]"
        checker.content(f"{variable_path}.name", variable.name)
        if variable.name in names:
            checker.add(f"{variable_path}.name", f"{variable.name} is declared twice")
        names.add(variable.name)
        if variable.validation_pattern:
            try:
                compile_pattern(variable.validation_pattern)
            except re2.error as error:
                checker.add(f"{variable_path}.validation_pattern", f"is no RE2 pattern: {_text(error)}")


def compile_pattern(pattern: str) -> re2._Regexp[str]:
    """Compile a validation_pattern. RE2 matches in linear time, so a hostile pattern cannot stop the service.

    Raises:
        re2.error: if it is no RE2 pattern.
    """
    options = re2.Options()
    options.max_mem = MAX_PATTERN_MEMORY
    options.log_errors = False
    return re2.compile(pattern, options)


def _text(error: Exception) -> str:
    cause = error.args[0] if error.args else ""
    return cause.decode() if isinstance(cause, bytes) else str(cause)


def check_edge(checker: Checker, prefix: str, edge: Edge) -> None:
    """Check an edge's ids."""
    checker.id(f"{prefix}.from_node_id", edge.from_id)
    checker.id(f"{prefix}.to_node_id", edge.to_id)
