"""Conversation events as nodes and edges: those that AddPrompt and AddResponse make, and what more is told. Pure.

A node's id is the event's (`node_id`), so a repeated event changes nothing. A session is made on first sight, and what
later events tell of it is added to it. A response whose prompt is not there yet becomes a waiting node, which holds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from memory_graph.ingest import rules
from memory_graph.ingest.checks import total_of
from memory_graph.ingest.conversations.bodies import (
    Failure,
    Metrics,
    PromptBody,
    ResponseBody,
    ToolCall,
    TraceContext,
    Usage,
)
from memory_graph.ingest.conversations.decode import response as decoded_response
from memory_graph.ingest.conversations.events import ENDED, PromptEvent, ResponseEvent, SessionEvent
from memory_graph.ingest.planner import Planner, derived_id, node_id
from memory_graph.ingest.scalars import text
from memory_graph.model.errors import Invalid, Violation
from memory_graph.model.ids import canonical
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import (
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

WAITING = "waiting"
"""Status of a node that holds a response until its prompt is told of."""
_EVENT = "event"
_decode_json = msgspec.json.Decoder().decode


def template_id(event: PromptEvent) -> str | None:
    """The node that a prompt says it was made from, if it names one."""
    return canonical(event.body.prompt.template or "")


def waiting_id(response_event_id: str) -> str:
    """The id of the node that holds a response until its prompt is told of."""
    return derived_id("waiting", node_id(response_event_id))


def add_session(planner: Planner, event: SessionEvent) -> int:
    """Plans what an event tells of a session. Yields its place."""
    body = event.body
    told = {key: text(value) for key, value in (body.metadata or {}).items()}
    _put(told, user_id=body.session.user_id, application_id=body.session.application_id, purpose=body.session.purpose,
         tags=body.tags)  # fmt: skip
    return planner.session(body.session.id, event.at, told, ended=event.event_type == ENDED)[1]


def add_prompt(planner: Planner, event: PromptEvent) -> int:
    """Plans a prompt with its session, model and template. Yields its place."""
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
    made_from = template.id if template is not None and template.type is NodeType.TEMPLATE else None
    creation = rules.creation(node, planner.new_id, instantiates=made_from)
    uses = Edge(id=planner.new_id(), type=EdgeType.USES_MODEL, from_id=id, to_id=model, created_at=at)
    return planner.add(replace(creation, edges=(*creation.edges, uses), observed=True))


def add_response(planner: Planner, event: ResponseEvent) -> int:
    """Plans a response with its tool invocations; or, where its prompt is not there, a node that holds it. Yields its
    place.

    Raises:
        Invalid: what it answers is there and is no prompt.
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
    place = planner.add(_creation(planner, id, NodeType.RESPONSE, data, at))
    for index, call in enumerate(calls):
        tool = derived_id("tool_call", id, str(index))
        planner.add(_creation(planner, tool, NodeType.TOOL_INVOCATION, _tool(call, id), at))
    return place


def event_of(waiting: Node) -> ResponseEvent:
    """The response that a node holds."""
    return decoded_response(body_of(waiting))


def body_of(waiting: Node) -> bytes:
    """The same as it was sent, but for what its schema does not name."""
    assert isinstance(waiting.data, InvocationData)
    return waiting.data.metadata[_EVENT].encode()


def is_waiting(node: Node) -> bool:
    """Whether a node holds a response until its prompt is told of."""
    return isinstance(node.data, InvocationData) and node.data.status == WAITING and not node.data.model_id


def _wait(planner: Planner, event: ResponseEvent) -> int:
    prompt = planner.stub(event.body.prompt_event_id, event.at)
    id = waiting_id(event.event_id)
    held = msgspec.json.encode(event.body).decode()
    node = Node(
        id=id,
        type=NodeType.INVOCATION,
        data=InvocationData(model_id="", status=WAITING, metadata={_EVENT: held}),
        created_at=planner.now,
        updated_at=planner.now,
    )
    edge = Edge(id=planner.new_id(), type=EdgeType.TRIGGERED_BY, from_id=id, to_id=prompt, created_at=planner.now)
    place = planner.add(CreateNode(node=node, edges=(edge,), observed=True))
    planner.waiting[place] = planner.place(prompt)
    return place


def _creation(planner: Planner, id: str, type: NodeType, data: NodeData, at: int) -> CreateNode:
    node = Node(id=id, type=type, data=data, created_at=at, updated_at=at)
    return replace(rules.creation(node, planner.new_id), observed=True)


def _prompt_metadata(body: PromptBody, id: str) -> PromptMetadata:
    prompt, context, asked = body.prompt, body.context, body.model.parameters
    custom = {key: text(value) for key, value in (prompt.metadata or {}).items()}
    _put(custom, user_id=body.session.user_id, application_id=body.session.application_id,
         purpose=body.session.purpose, provider=body.model.provider, model_version=body.model.version,
         template=prompt.template, template_parameters=prompt.parameters, images=prompt.images, tags=body.tags,
         content_sha256=_digest(prompt.text))  # fmt: skip
    if asked is not None:
        _put(custom, top_p=asked.top_p, top_k=asked.top_k, stop_sequences=asked.stop_sequences,
             presence_penalty=asked.presence_penalty, frequency_penalty=asked.frequency_penalty)  # fmt: skip
    if context is not None:
        _put(custom, conversation_history=context.conversation_history, documents=context.documents,
             retrieval_method=context.retrieval_method)  # fmt: skip
    _put_origin(custom, body.event_id, id, body.trace_context)
    return PromptMetadata(
        model=body.model.id,
        temperature=(asked and asked.temperature) or 0.0,
        max_tokens=asked.max_tokens if asked else None,
        custom=custom,
    )


def _response_metadata(body: ResponseBody, id: str, model: str) -> ResponseMetadata:
    metrics, error = body.metrics or Metrics(), body.error or Failure()
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
    """The text; where there is none, what the model asks for instead, or what went wrong."""
    told = body.response
    if told.text:
        return told.text
    if told.function_call or told.tool_calls:
        return text(told.tool_calls or told.function_call)
    return (body.error and body.error.message) or ""


def _usage(told: Usage) -> TokenUsage:
    prompt, completion = told.prompt_tokens or 0, told.completion_tokens or 0
    total = total_of(prompt, completion, told.total_tokens or 0)
    return TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)


def _calls(body: ResponseBody) -> Iterator[ToolCall]:
    if body.response.function_call is not None:
        yield ToolCall(function=body.response.function_call)
    yield from body.response.tool_calls or ()


def _tool(call: ToolCall, response_id: str) -> ToolInvocationData:
    function = call.function
    asked = call.arguments if call.arguments is not None or function is None else function.arguments
    metadata: dict[str, str] = {}
    _put(metadata, call_id=call.id)
    known = "error" if call.error else "success" if call.result is not None else "requested"
    return ToolInvocationData(
        response_id=response_id,
        tool_name=call.name or (function.name if function else ""),
        parameters="" if asked is None else _json(asked),
        status=call.status or known,
        result=None if call.result is None else _json(call.result),
        error=call.error,
        duration_ms=round(call.duration_ms or 0),
        retry_count=call.retry_count or 0,
        metadata=metadata,
    )


def _json(value: object) -> str:
    """JSON text: a string is taken for JSON if it is such (models write arguments so), else as a string of JSON."""
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
    """What the event tells, as text, over what its metadata says under the same name."""
    for name, value in fields.items():
        if value is not None and value != "":
            metadata[name] = text(value)
