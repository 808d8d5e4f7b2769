"""`memory-graph prompt add` and `memory-graph response add`."""

from __future__ import annotations

import click

from memory_graph.cli.client import GraphClient, client_command, pairs, text_or_stdin
from memory_graph.cli.records import record_of_node
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb


@client_command("add")
@click.argument("session_id")
@click.argument("text", callback=text_or_stdin)
@click.option("--model", help="model the prompt goes to")
@click.option("--temperature", type=float)
@click.option("--max-tokens", type=click.IntRange(min=1))
@click.option("--tool", "tools", multiple=True, metavar="NAME", help="tool the model may call; repeatable")
@click.option("--agent", metavar="ID", help="agent that handles the prompt")
@click.option("--custom", multiple=True, metavar="KEY=VALUE", callback=pairs, help="custom metadata; repeatable")
def add_prompt(
    client: GraphClient,
    session_id: str,
    text: str,
    model: str | None,
    temperature: float | None,
    max_tokens: int | None,
    tools: tuple[str, ...],
    agent: str | None,
    custom: dict[str, str],
) -> None:
    """Adds a prompt to a session and prints the prompt's id. TEXT may be `-`: standard input."""
    request = pb.AddPromptRequest(session_id=session_id, content=text)
    if agent is not None:
        custom = {**custom, "agent_id": agent}
    if any(value is not None for value in (model, temperature, max_tokens)) or tools or custom:
        request.metadata.CopyFrom(
            pb.PromptMetadata(
                model=model or "",
                temperature=temperature or 0.0,
                max_tokens=max_tokens,
                tools_available=tools,
                custom=custom,
            )
        )
    prompt = client.call(client.graph.AddPrompt, request)
    node = pb.Node(id=prompt.id, type=pb.NODE_TYPE_PROMPT, created_at=prompt.timestamp, prompt=prompt)
    client.answer(record_of_node(node), prompt.id)


@client_command("add")
@click.argument("prompt_id")
@click.argument("text", callback=text_or_stdin)
@click.option("--prompt-tokens", type=click.IntRange(min=0))
@click.option("--completion-tokens", type=click.IntRange(min=0))
@click.option("--model", help="model that answered")
@click.option("--finish-reason", help="for example stop, length, tool_calls")
@click.option("--latency-ms", type=click.IntRange(min=0))
@click.option("--custom", multiple=True, metavar="KEY=VALUE", callback=pairs, help="custom metadata; repeatable")
def add_response(
    client: GraphClient,
    prompt_id: str,
    text: str,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    model: str | None,
    finish_reason: str | None,
    latency_ms: int | None,
    custom: dict[str, str],
) -> None:
    """Adds a response to a prompt and prints the response's id. TEXT may be `-`: standard input."""
    request = pb.AddResponseRequest(prompt_id=prompt_id, content=text)
    if prompt_tokens is not None or completion_tokens is not None:
        sent, generated = prompt_tokens or 0, completion_tokens or 0
        request.token_usage.CopyFrom(
            pb.TokenUsage(prompt_tokens=sent, completion_tokens=generated, total_tokens=sent + generated)
        )
    if model or finish_reason or latency_ms is not None or custom:
        request.metadata.CopyFrom(
            pb.ResponseMetadata(
                model=model or "", finish_reason=finish_reason or "", latency_ms=latency_ms or 0, custom=custom
            )
        )
    response = client.call(client.graph.AddResponse, request)
    node = pb.Node(id=response.id, type=pb.NODE_TYPE_RESPONSE, created_at=response.timestamp, response=response)
    client.answer(record_of_node(node), response.id)
