"""Draws a session on the terminal."""

from __future__ import annotations

from rich.text import Text
from rich.tree import Tree

from memory_graph.cli.session_view import SessionView
from memory_graph.cli.terminal import clean, console, duration, excerpt, local_time
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb

_STATUS_STYLES = {"success": "green", "error": "red", "timeout": "red"}


def session_tree(view: SessionView) -> None:
    """Prints the tree of what was read of a session."""
    tree = Tree(_header(view), guide_style="dim")
    if view.hidden:
        tree.add(Text(f"… {view.hidden:,} earlier prompts (--limit shows more)", style="dim"))
    previous = ""
    for prompt in view.prompts:
        branch = tree.add(_prompt(view, prompt, previous))
        for response in view.responses.get(prompt.id, ()):
            twig = branch.add(_response(prompt, response))
            for tool in view.tools.get(response.id, ()):
                twig.add(_tool(tool.tool_invocation))
        previous = prompt.id
    console().print(tree, soft_wrap=True)


def _header(view: SessionView) -> Text:
    session = view.session
    counts = [f"{count:,} {name if count != 1 else name[:-1]}" for name, count in view.counts.items()]
    tokens = f"{view.tokens:,} tokens" + (" shown" if view.hidden else "")
    metadata = clean(" ".join(f"{key}={value}" for key, value in sorted(session.metadata.items())))
    return Text.assemble(
        "session ",
        (session.id, "bold"),
        f"  {metadata}  " if metadata else "  ",
        ("active", "green") if session.is_active else ("closed", "dim"),
        "  ",
        " · ".join([*counts, tokens]),
    )


def _prompt(view: SessionView, node: pb.Node, previous: str) -> Text:
    metadata = node.prompt.metadata
    agent = metadata.custom.get("agent_id", "")
    facts = [clean(metadata.model)] if metadata.model else []
    if agent:
        facts.append(f"agent {clean(view.agents.get(agent, agent))}")
    return Text.assemble(
        ("prompt   ", "bold cyan"),
        f" {local_time(node.created_at)}  ",
        f'"{excerpt(node.prompt.content)}"',
        (f"  {' · '.join(facts)}" if facts else "", "dim"),
        (_arrow(view, node, previous), "dim"),
    )


def _arrow(view: SessionView, node: pb.Node, previous: str) -> str:
    edge = view.follows.get(node.id)
    if edge is None:
        return ""
    return "  follows ↑" if edge.to_node_id == previous else f"  follows {edge.to_node_id}"


def _response(prompt: pb.Node, node: pb.Node) -> Text:
    response = node.response
    facts = [clean(response.metadata.finish_reason)] if response.metadata.finish_reason else []
    if response.HasField("token_usage"):
        facts.append(f"{response.token_usage.total_tokens:,} tokens")
    elapsed = response.metadata.latency_ms or (
        (node.created_at.ToNanoseconds() - prompt.created_at.ToNanoseconds()) / 1e6
    )
    facts.append(duration(max(elapsed, 0)))
    return Text.assemble(
        ("response ", "bold magenta"),
        f" {local_time(node.created_at)}  ",
        f'"{excerpt(response.content)}"  ',
        (" · ".join(facts), "dim"),
    )


def _tool(tool: pb.ToolInvocationNode) -> Text:
    outcome = f'"{excerpt(tool.error)}"' if tool.error else excerpt(tool.parameters)
    return Text.assemble(
        ("tool ", "bold yellow"),
        f"{clean(tool.tool_name)}  ",
        (clean(tool.status) or "-", _STATUS_STYLES.get(tool.status, "")),
        f"  {duration(tool.duration_ms)}",
        f" · retried {tool.retry_count}x" if tool.retry_count else "",
        f"  {outcome}",
    )
