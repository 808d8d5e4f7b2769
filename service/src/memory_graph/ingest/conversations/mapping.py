"""Maps conversation events to nodes and edges: those of AddPrompt and AddResponse, with more metadata. Pure.

A node's id is the event's (`node_id`), so a repeated event changes nothing. A session is created on first sight, and
later events add to it. A response without its prompt becomes a waiting node, which holds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from memory_graph.ingest import derived_edges
from memory_graph.ingest.checks import total_of
from memory_graph.ingest.conversations.bodies import (
    PromptBody,
    ResponseBody,
    ResponseError,
    ResponseMetrics,
    ToolCall,
    TraceContext,
    Usage,
)
from memory_graph.ingest.conversations.decode import decode_response
from memory_graph.ingest.conversations.events import ENDED, PromptEvent, ResponseEvent, SessionEvent
from memory_graph.ingest.json_text import as_text
from memory_graph.ingest.write_planner import WritePlanner, derived_id, node_id
from memory_graph.model.errors import Invalid, Violation
from memory_graph.model.ids import canonical
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import (
    WAITING,
    Edge,
    InvocationData,
    Node,
    NodeData,
    PromptData,
    PromptMetadata,
    ResponseData,
    ResponseMetadata,
    TokenUsage,
    ToolInvocationData,
    is_stub,
)

_EVENT = "event"
_decode_json = msgspec.json.Decoder().decode


def template_id(event: PromptEvent) -> str | None:
    """Return the id of a prompt's template, if the prompt names one."""
    return canonical(event.body.prompt.template or "")


def waiting_id(response_event_id: str) -> str:
    """Return the id of the node that holds a response until its prompt comes."""
    return derived_id("waiting", node_id(response_event_id))


def add_session(planner: WritePlanner, event: SessionEvent) -> int:
    """Plan the update of a session. Returns its index."""
    body = event.body
    metadata = {key: as_text(value) for key, value in (body.metadata or {}).items()}
    _put(metadata, user_id=body.session.user_id, application_id=body.session.application_id,
         purpose=body.session.purpose, tags=body.tags)  # fmt: skip
    return planner.session(body.session.id, event.at, metadata, ended=event.event_type == ENDED)[1]


def add_prompt(planner: WritePlanner, event: PromptEvent) -> int:
    """Plan a prompt with its session, model and template. Returns its index."""
    body, at = event.body, event.at
    session: dict[str, str] = {}
    _put(session, user_id=body.session.user_id, application_id=body.session.application_id,
         purpose=body.session.purpose)  # fmt: skip
    session_id, _ = planner.session(body.session.id, at, session)
    model = planner.model(body.model.provider or "", body.model.id, at)
    id = node_id(body.event_id)
    node = Node(
        id=id,
        type=NodeType.PROMPT,
        data=PromptData(session_id=session_id, content=body.prompt.text, metadata=_prompt_metadata(body, id)),
        created_at=at,
        updated_at=at,
        session_id=session_id,
    )
    template = planner.node(template_id(event) or "")
    template_node_id = template.id if template is not None and template.type is NodeType.TEMPLATE else None
    creation = derived_edges.create_node(node, planner.new_id, instantiates=template_node_id)
    uses = Edge(id=planner.new_id(), type=EdgeType.USES_MODEL, from_id=id, to_id=model, created_at=at)
    return planner.add(replace(creation, edges=(*creation.edges, uses), observed=True))


def add_response(planner: WritePlanner, event: ResponseEvent) -> int:
    """Plan a response with its tool invocations or, without its prompt, a waiting node. Returns its index.

    Raises:
        Invalid: if the node that it answers is no prompt.
    """
    prompt = planner.node(node_id(event.body.prompt_event_id))
    if prompt is None or is_stub(prompt):
        return _wait(planner, event)
    if not isinstance(prompt.data, PromptData):
        raise Invalid(Violation("promptEventId", f"is the id of a {prompt.type.name} node; name a prompt"))
    body, at = event.body, event.at
    model = prompt.data.metadata.model if prompt.data.metadata else ""
    id = node_id(body.event_id)
    calls = list(_calls(body))
    usage = body.usage
    data = ResponseData(
        prompt_id=prompt.id,
        content=_content(body),
        token_usage=None if usage is None else _usage(usage),
        metadata=_response_metadata(body, id, model),
    )
    index = planner.add(_creation(planner, id, NodeType.RESPONSE, data, at))
    for call_index, call in enumerate(calls):
        tool = derived_id("tool_call", id, str(call_index))
        planner.add(_creation(planner, tool, NodeType.TOOL_INVOCATION, _tool(call, id), at))
    return index


def event_of(waiting: Node) -> ResponseEvent:
    """Return the response of a waiting node."""
    return decode_response(body_of(waiting))


def body_of(waiting: Node) -> bytes:
    """Return the body of the response of a waiting node, without fields that its schema does not name."""
    assert isinstance(waiting.data, InvocationData)
    return waiting.data.metadata[_EVENT].encode()


def is_waiting(node: Node) -> bool:
    """Return whether a node holds a response until its prompt comes."""
    return isinstance(node.data, InvocationData) and node.data.status == WAITING and not node.data.model_id


def _wait(planner: WritePlanner, event: ResponseEvent) -> int:
    prompt = planner.stub(event.body.prompt_event_id, event.at)
    id = waiting_id(event.event_id)
    encoded = msgspec.json.encode(event.body).decode()
    node = Node(
        id=id,
        type=NodeType.INVOCATION,
        data=InvocationData(model_id="", status=WAITING, metadata={_EVENT: encoded}),
        created_at=planner.now,
        updated_at=planner.now,
    )
    edge = Edge(id=planner.new_id(), type=EdgeType.TRIGGERED_BY, from_id=id, to_id=prompt, created_at=planner.now)
    index = planner.add(CreateNode(node=node, edges=(edge,), observed=True))
    planner.waiting[index] = planner.index(prompt)
    return index


def _creation(planner: WritePlanner, id: str, type: NodeType, data: NodeData, at: int) -> CreateNode:
    node = Node(id=id, type=type, data=data, created_at=at, updated_at=at)
    return replace(derived_edges.create_node(node, planner.new_id), observed=True)


def _prompt_metadata(body: PromptBody, id: str) -> PromptMetadata:
    prompt, context, parameters = body.prompt, body.context, body.model.parameters
    custom = {key: as_text(value) for key, value in (prompt.metadata or {}).items()}
    _put(custom, user_id=body.session.user_id, application_id=body.session.application_id,
         purpose=body.session.purpose, provider=body.model.provider, model_version=body.model.version,
         template=prompt.template, template_parameters=prompt.parameters, images=prompt.images, tags=body.tags,
         content_sha256=_digest(prompt.text))  # fmt: skip
    if parameters is not None:
        _put(custom, top_p=parameters.top_p, top_k=parameters.top_k, stop_sequences=parameters.stop_sequences,
             presence_penalty=parameters.presence_penalty, frequency_penalty=parameters.frequency_penalty)  # fmt: skip
    if context is not None:
        _put(custom, conversation_history=context.conversation_history, documents=context.documents,
             retrieval_method=context.retrieval_method)  # fmt: skip
    _put_origin(custom, body.event_id, id, body.trace_context)
    return PromptMetadata(
        model=body.model.id,
        temperature=(parameters and parameters.temperature) or 0.0,
        max_tokens=parameters.max_tokens if parameters else None,
        custom=custom,
    )


def _response_metadata(body: ResponseBody, id: str, model: str) -> ResponseMetadata:
    metrics, error = body.metrics or ResponseMetrics(), body.error or ResponseError()
    custom: dict[str, str] = {}
    _put(custom, ttft_ms=metrics.ttft, throughput=metrics.throughput, cost=metrics.cost, error_code=error.code,
         error_message=error.message, error_type=error.type, error_recoverable=error.recoverable, tags=body.tags,
         content_sha256=_digest(_content(body)))  # fmt: skip
    _put_origin(custom, body.event_id, id, body.trace_context)
    return ResponseMetadata(
        model=model,
        finish_reason=body.response.finish_reason or "",
        latency_ms=round(metrics.latency or 0),
        custom=custom,
    )


def _content(body: ResponseBody) -> str:
    """Return the text; without text, the calls that the model asks for, or the error message."""
    part = body.response
    if part.text:
        return part.text
    if part.function_call or part.tool_calls:
        return as_text(part.tool_calls or part.function_call)
    return (body.error and body.error.message) or ""


def _usage(usage: Usage) -> TokenUsage:
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    total = total_of(prompt, completion, usage.total_tokens or 0)
    return TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)


def _calls(body: ResponseBody) -> Iterator[ToolCall]:
    if body.response.function_call is not None:
        yield ToolCall(function=body.response.function_call)
    yield from body.response.tool_calls or ()


def _tool(call: ToolCall, response_id: str) -> ToolInvocationData:
    function = call.function
    arguments = call.arguments if call.arguments is not None or function is None else function.arguments
    metadata: dict[str, str] = {}
    _put(metadata, call_id=call.id)
    status = "error" if call.error else "success" if call.result is not None else "requested"
    return ToolInvocationData(
        response_id=response_id,
        tool_name=call.name or (function.name if function else ""),
        parameters="" if arguments is None else _json(arguments),
        status=call.status or status,
        result=None if call.result is None else _json(call.result),
        error=call.error,
        duration_ms=round(call.duration_ms or 0),
        retry_count=call.retry_count or 0,
        metadata=metadata,
    )


def _json(value: object) -> str:
    """Return JSON text. A string that is JSON stays as it is (models write arguments so), others become strings."""
    if isinstance(value, str):
        try:
            _decode_json(value.encode())
        except (msgspec.DecodeError, RecursionError):
            return msgspec.json.encode(value).decode()
        return value
    return msgspec.json.encode(value).decode()


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _put_origin(custom: dict[str, str], event_id: str, id: str, trace: TraceContext | None) -> None:
    if event_id != id:
        _put(custom, event_id=event_id)
    if trace is not None:
        _put(custom, trace_id=trace.trace_id, span_id=trace.span_id, parent_span_id=trace.parent_span_id)


def _put(metadata: dict[str, str], **fields: object) -> None:
    """Set fields of the event as text; they replace metadata of the same name."""
    for name, value in fields.items():
        if value is not None and value != "":
            metadata[name] = as_text(value)
