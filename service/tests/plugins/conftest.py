"""Values that hooks see, and hosts made from the source of plugins."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from memory_graph.model.kinds import NodeType
from memory_graph.model.nodes import Node, NodeData, PromptData, SessionData
from memory_graph.plugins import HookContext, PluginHost, load_plugins
from memory_graph.telemetry.metrics import Metrics

SESSION = "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77"
NODE = "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a78"
PREAMBLE = """
import asyncio, threading
import msgspec
from memory_graph.model.nodes import *
from memory_graph.plugins import Plugin, Veto

def changed(node, **fields):
    return msgspec.structs.replace(node, data=msgspec.structs.replace(node.data, **fields))
"""

MakeNode = Callable[[NodeData], Node]
Load = Callable[..., PluginHost]


@pytest.fixture
def context() -> HookContext:
    return HookContext(tenant="default", method="AddPrompt", request_id="r-1")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("0")


@pytest.fixture
def make_node() -> MakeNode:
    """A node of a session around its data."""

    def make(data: NodeData) -> Node:
        kind = NodeType[type(data).__name__.removesuffix("Data").replace("Tool", "Tool_").upper()]
        id = SESSION if isinstance(data, SessionData) else NODE
        return Node(id=id, type=kind, data=data, created_at=1, updated_at=1, session_id=SESSION)

    return make


@pytest.fixture
def prompt(make_node: MakeNode) -> Node:
    return make_node(PromptData(session_id=SESSION, content="hello"))


@pytest.fixture
def load(tmp_path: Path, metrics: Metrics) -> Load:
    """Loads plugins: load("class A(Plugin): …", timeout_s=…), one file a source."""

    def from_sources(*sources: str, timeout_s: float = 30) -> PluginHost:
        for index, source in enumerate(sources):
            (tmp_path / f"plugin_{index}.py").write_text(PREAMBLE + textwrap.dedent(source))
        return load_plugins([tmp_path], timeout_s, metrics)

    return from_sources
