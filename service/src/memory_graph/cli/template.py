"""`memory-graph template create|instantiate`."""

from __future__ import annotations

import click

from memory_graph.cli.client import GraphClient, client_command, pairs, text_or_stdin
from memory_graph.cli.records import record_of_node
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb


@client_command("create")
@click.argument("name")
@click.argument("text", callback=text_or_stdin)
@click.option("--require", multiple=True, metavar="VARIABLE", help="variable that must be given; repeatable")
@click.option(
    "--default",
    "defaults",
    multiple=True,
    metavar="VARIABLE=VALUE",
    callback=pairs,
    help="optional variable; repeatable",
)
@click.option("--parent", metavar="ID", help="template to inherit from")
@click.option("--version", "version", default="", help="version of the template")
def create(
    client: GraphClient,
    name: str,
    text: str,
    require: tuple[str, ...],
    defaults: dict[str, str],
    parent: str | None,
    version: str,
) -> None:
    """Stores a template with `{{variable}}` places and prints its id. TEXT may be `-`: standard input."""
    variables = [
        *(pb.VariableSpec(name=variable, required=True) for variable in require),
        *(pb.VariableSpec(name=variable, default_value=value) for variable, value in defaults.items()),
    ]
    template = pb.TemplateNode(
        name=name,
        template_text=text,
        version=version,
        variables=variables,
        metadata={"parent_id": parent} if parent else {},
    )
    stored = client.call(client.graph.CreateTemplate, pb.CreateTemplateRequest(template=template))
    node = pb.Node(id=stored.id, type=pb.NODE_TYPE_TEMPLATE, created_at=stored.created_at, template=stored)
    client.answer(record_of_node(node), stored.id)


@client_command("instantiate")
@click.argument("template_id")
@click.argument("session_id")
@click.option("--set", "values", multiple=True, metavar="VARIABLE=VALUE", callback=pairs, help="repeatable")
def instantiate(client: GraphClient, template_id: str, session_id: str, values: dict[str, str]) -> None:
    """Adds a prompt made from a template to a session and prints the prompt's id."""
    request = pb.InstantiateTemplateRequest(template_id=template_id, session_id=session_id, variable_values=values)
    prompt = client.call(client.graph.InstantiateTemplate, request)
    node = pb.Node(id=prompt.id, type=pb.NODE_TYPE_PROMPT, created_at=prompt.timestamp, prompt=prompt)
    client.answer(record_of_node(node), prompt.id)
