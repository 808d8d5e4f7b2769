"""Small builders of the writes that the tests of stores are made of. Ids and times are given out in order."""

from __future__ import annotations

import time

from memory_graph.model.ids import new_id
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.mutations import CreateEdge, CreateNode, DeleteEdge, DeleteNode, Mutation, UpdateNode, Write
from memory_graph.model.nodes import (
    AgentData,
    Edge,
    Node,
    NodeData,
    PromptData,
    PromptMetadata,
    ResponseData,
    SessionData,
    TemplateData,
    ToolInvocationData,
)

TENANT = "default"


def write(*mutations: Mutation, tenant: str = TENANT) -> Write:
    return Write(tenant=tenant, mutations=mutations)


def node(type: NodeType, data: NodeData, *, id: str | None = None, at: int | None = None, session: str | None = None):
    at = time.time_ns() if at is None else at
    return Node(id=id or new_id(), type=type, data=data, created_at=at, updated_at=at, session_id=session)


def edge(type: EdgeType, source: str, target: str, *, at: int | None = None, id: str | None = None, **properties: str):
    at = time.time_ns() if at is None else at
    return Edge(id=id or new_id(), type=type, from_id=source, to_id=target, created_at=at, properties=properties)


def session(*, at: int | None = None, id: str | None = None, active: bool = True, **metadata: str) -> CreateNode:
    id = id or new_id()
    data = SessionData(metadata=metadata, is_active=active)
    return CreateNode(node=node(NodeType.SESSION, data, id=id, at=at, session=id))


def prompt(
    session: str, content: str = "hello", *, at: int | None = None, id: str | None = None, **metadata: str
) -> CreateNode:
    prompt_metadata = PromptMetadata(model=metadata.pop("model", ""), custom=metadata) if metadata else None
    created = node(
        NodeType.PROMPT,
        PromptData(session_id=session, content=content, metadata=prompt_metadata),
        at=at,
        id=id,
        session=session,
    )
    return CreateNode(
        node=created,
        edges=(edge(EdgeType.BELONGS_TO, created.id, session, at=created.created_at),),
        follows_edge_id=new_id(),
    )


def response(prompt: str, content: str = "hi", *, at: int | None = None) -> CreateNode:
    created = node(NodeType.RESPONSE, ResponseData(prompt_id=prompt, content=content), at=at)
    return CreateNode(
        node=created, edges=(edge(EdgeType.RESPONDS_TO, created.id, prompt, at=created.created_at),), parent_id=prompt
    )


def tool(response: str, name: str = "search", *, status: str = "ok", at: int | None = None) -> CreateNode:
    created = node(
        NodeType.TOOL_INVOCATION, ToolInvocationData(response_id=response, tool_name=name, status=status), at=at
    )
    return CreateNode(
        node=created, edges=(edge(EdgeType.INVOKES, response, created.id, at=created.created_at),), parent_id=response
    )


def agent(name: str = "writer", *, at: int | None = None, id: str | None = None, **metadata: str) -> CreateNode:
    return CreateNode(node=node(NodeType.AGENT, AgentData(name=name, metadata=metadata), at=at, id=id))


def template(name: str = "greeting") -> CreateNode:
    return CreateNode(node=node(NodeType.TEMPLATE, TemplateData(name=name, template_text="hi {{who}}")))


def update(created: Node, data: NodeData, *, at: int | None = None) -> UpdateNode:
    at = time.time_ns() if at is None else at
    return UpdateNode(
        node=Node(
            id=created.id, type=created.type, data=data, created_at=at, updated_at=at, session_id=created.session_id
        )
    )


def link(type: EdgeType, source: str, target: str, **rest) -> CreateEdge:
    return CreateEdge(edge=edge(type, source, target, **rest))


def delete(id: str, *, at: int | None = None, relink: str | None = None) -> DeleteNode:
    return DeleteNode(node_id=id, at=time.time_ns() if at is None else at, relink_edge_id=relink or new_id())


def unlink(id: str, *, at: int | None = None) -> DeleteEdge:
    return DeleteEdge(edge_id=id, at=time.time_ns() if at is None else at)
