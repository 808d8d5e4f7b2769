"""Nodes and edges: immutable values without I/O.

Times are integers: nanoseconds since 1970-01-01T00:00:00Z. Ids are UUIDs in canonical text form.
"""

from __future__ import annotations

import msgspec

from memory_graph.model.kinds import EdgeType, NodeType


class _Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A value compared by content."""


class TokenUsage(_Value, frozen=True, kw_only=True):
    """The tokens of a response."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class PromptMetadata(_Value, frozen=True, kw_only=True):
    """The settings of a prompt. `custom` may carry `agent_id` and `references`, which become edges."""

    model: str = ""
    temperature: float = 0.0
    max_tokens: int | None = None
    tools_available: tuple[str, ...] = ()
    custom: dict[str, str] = {}


class ResponseMetadata(_Value, frozen=True, kw_only=True):
    """The end of a response. `custom` may carry `transfer_to_agent_id`, which becomes an edge."""

    model: str = ""
    finish_reason: str = ""
    latency_ms: int = 0
    custom: dict[str, str] = {}


class VariableSpec(_Value, frozen=True, kw_only=True):
    """A variable of a template. `validation_pattern` is RE2 syntax and must match the whole value."""

    name: str
    type_hint: str = ""
    required: bool = False
    default_value: str | None = None
    validation_pattern: str | None = None
    description: str = ""


class SessionData(_Value, frozen=True, kw_only=True, tag=1):
    metadata: dict[str, str] = {}
    is_active: bool = True


class PromptData(_Value, frozen=True, kw_only=True, tag=2):
    session_id: str
    content: str
    metadata: PromptMetadata | None = None


class ResponseData(_Value, frozen=True, kw_only=True, tag=3):
    prompt_id: str
    content: str
    token_usage: TokenUsage | None = None
    metadata: ResponseMetadata | None = None


class ToolInvocationData(_Value, frozen=True, kw_only=True, tag=4):
    """A tool call. `parameters` and `result` are JSON text."""

    response_id: str
    tool_name: str
    parameters: str = ""
    status: str = ""
    result: str | None = None
    error: str | None = None
    duration_ms: int = 0
    retry_count: int = 0
    metadata: dict[str, str] = {}


class AgentData(_Value, frozen=True, kw_only=True, tag=5):
    name: str
    role: str = ""
    capabilities: tuple[str, ...] = ()
    status: str = ""
    metadata: dict[str, str] = {}


class TemplateData(_Value, frozen=True, kw_only=True, tag=6):
    """A template. The store counts `usage_count`; the value of a writer is ignored."""

    name: str
    template_text: str
    variables: tuple[VariableSpec, ...] = ()
    version: str = ""
    usage_count: int = 0
    metadata: dict[str, str] = {}


class ModelData(_Value, frozen=True, kw_only=True, tag=7):
    """A model, or one version of it (the node's type tells which)."""

    model_id: str
    provider: str = ""
    version: str = ""
    capabilities: tuple[str, ...] = ()
    deprecated: bool = False
    metadata: dict[str, str] = {}


WAITING = "waiting"
"""The status of an invocation that holds a response until its prompt comes (`ingest.conversations.mapping`)."""


class InvocationData(_Value, frozen=True, kw_only=True, tag=9):
    model_id: str
    provider: str = ""
    status: str = ""
    token_count: int = 0
    latency_ms: float = 0.0
    metadata: dict[str, str] = {}


class MetricData(_Value, frozen=True, kw_only=True, tag=10):
    name: str
    value: float = 0.0
    unit: str = ""
    metadata: dict[str, str] = {}


class ErrorData(_Value, frozen=True, kw_only=True, tag=11):
    error_type: str
    message: str = ""
    severity: str = ""
    metadata: dict[str, str] = {}


NodeData = (
    SessionData
    | PromptData
    | ResponseData
    | ToolInvocationData
    | AgentData
    | TemplateData
    | ModelData
    | InvocationData
    | MetricData
    | ErrorData
)

DATA_TYPES: dict[NodeType, type[NodeData]] = {
    NodeType.SESSION: SessionData,
    NodeType.PROMPT: PromptData,
    NodeType.RESPONSE: ResponseData,
    NodeType.TOOL_INVOCATION: ToolInvocationData,
    NodeType.AGENT: AgentData,
    NodeType.TEMPLATE: TemplateData,
    NodeType.MODEL: ModelData,
    NodeType.MODEL_VERSION: ModelData,
    NodeType.INVOCATION: InvocationData,
    NodeType.PERFORMANCE_METRIC: MetricData,
    NodeType.ERROR: ErrorData,
}
"""The data of each node type."""


class Node(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node of the graph.

    created_at and updated_at: valid time, as the writer says. recorded_at: when the store learned of this version (0
    until it is stored). session_id: the session of the node, itself for a session, None for nodes without session
    (agents, templates, models).
    """

    id: str
    type: NodeType
    data: NodeData
    created_at: int
    updated_at: int
    session_id: str | None = None
    recorded_at: int = 0


class Edge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A directed edge. created_at is its valid-from time, recorded_at when the store learned of it (0 until stored)."""

    id: str
    type: EdgeType
    from_id: str
    to_id: str
    created_at: int
    properties: dict[str, str] = {}
    recorded_at: int = 0


STUB = InvocationData(model_id="")
"""The data of a node that only a reference to it has created: an invocation of no model, which nobody can write."""


def is_stub(node: Node) -> bool:
    """Return whether a node stands for one that has not come yet. A stub belongs to no session."""
    return node.type is NodeType.INVOCATION and node.data == STUB


def stub(id: str, at: int) -> Node:
    """Make a node to point at until the one with this id comes. at: time of the reference, in nanoseconds."""
    return Node(id=id, type=NodeType.INVOCATION, data=STUB, created_at=at, updated_at=at)
