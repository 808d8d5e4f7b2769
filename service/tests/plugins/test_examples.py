"""The example plugins do what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory_graph.model.errors import Vetoed
from memory_graph.model.nodes import (
    PromptData,
    PromptMetadata,
    ResponseData,
    ResponseMetadata,
    SessionData,
    ToolInvocationData,
)
from memory_graph.plugins import PluginLoadError, load_plugins

EXAMPLES = Path(__file__).parents[2] / "examples" / "plugins"
ID = "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77"


@pytest.fixture
def policy(tmp_path, monkeypatch):
    def write(text):
        (tmp_path / "policy.json").write_text(text)
        monkeypatch.setenv("PROMPT_POLICY_FILE", str(tmp_path / "policy.json"))

    write('{"required_session_metadata": ["user"], "max_prompt_characters": 10, "allowed_models": ["good"]}')
    return write


@pytest.fixture
def host(metrics, policy):
    return load_plugins([EXAMPLES], 30, metrics)


def with_model(model):
    return PromptData(session_id=ID, content="hi", metadata=PromptMetadata(model=model))


@pytest.mark.parametrize(
    ("operation", "data", "reason"),
    [
        ("create_session", SessionData(metadata={"user": ""}), "a session needs metadata user"),
        ("create_node", PromptData(session_id=ID, content="12345678901"), "has 11 characters, allowed are 10"),
        ("create_node", with_model("bad"), "model bad is not among good"),
        ("update_node", with_model("bad"), "model bad is not among good"),
        (
            "create_node",
            ResponseData(prompt_id=ID, content="x", metadata=ResponseMetadata(model="bad")),
            "model bad is not among good",
        ),
    ],
)
async def test_policy_refuses(host, make_node, context, operation, data, reason):
    with pytest.raises(Vetoed, match=f"plugin prompt-policy refused: .*{reason}"):
        await host.before(operation, context, make_node(data))


async def test_policy_lets_pass_what_it_allows(host, make_node, context):
    for operation, data in [
        ("create_session", SessionData(metadata={"user": "u"})),
        ("create_node", with_model("good")),
        ("create_node", PromptData(session_id=ID, content="1234567890")),
    ]:
        node = make_node(data)
        assert await host.before(operation, context, node) is node


def test_a_wrong_policy_stops_the_start(metrics, policy):
    policy('{"max_prompt_chars": 3}')
    with pytest.raises(PluginLoadError, match="max_prompt_chars"):
        load_plugins([EXAMPLES], 30, metrics)


def test_the_policy_beside_the_file_is_valid(metrics):
    names = [plugin.name for plugin in load_plugins([EXAMPLES], 30, metrics).plugins]
    assert names == ["prompt-policy", "pii-redactor"]


@pytest.fixture
def redactor(metrics, tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "pii_redactor.py").write_bytes((EXAMPLES / "pii_redactor.py").read_bytes())
    return load_plugins([folder], 30, metrics)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to Ana.Núñez+x@mail.example.org, now", "write to [EMAIL], now"),
        ("call +34 91 123 45 67 or (212) 555-0123", "call [PHONE] or [PHONE]"),
        ("pay to DE89 3704 0044 0532 0130 00 AND tell me", "pay to [IBAN] AND tell me"),
        ("pay to DE88370400440532013000", "pay to DE88370400440532013000"),
        ("card 4111 1111 1111 1111, thanks", "card [CARD], thanks"),
        ("order 4111 1111 1111 1112", "order 4111 1111 1111 1112"),
        ("id 0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77 at 2026-03-12 09:14", None),
        ("AVE 3182 for 142.50 €, 8 % of 1,000,000", None),
    ],
)
async def test_redacts_prompts_and_responses(redactor, make_node, context, text, expected):
    for data in (PromptData(session_id=ID, content=text), ResponseData(prompt_id=ID, content=text)):
        result = await redactor.before("create_node", context, make_node(data))
        assert result.data.content == (text if expected is None else expected)


async def test_redacts_tool_calls_and_keeps_them_json(redactor, make_node, context):
    tool = ToolInvocationData(
        response_id=ID,
        tool_name="pay",
        parameters=json.dumps({"card": 4111111111111111, "to": ["a@b.example"], "n": 3, "ok": True}),
        result='{"a@b.example": null}',
        error="no answer from a@b.example",
    )
    data = (await redactor.before("create_node", context, make_node(tool))).data
    assert json.loads(data.parameters) == {"card": "[CARD]", "to": ["[EMAIL]"], "n": 3, "ok": True}
    assert json.loads(data.result) == {"[EMAIL]": None}
    assert data.error == "no answer from [EMAIL]"


async def test_a_changed_node_is_redacted_too(redactor, make_node, context):
    node = make_node(PromptData(session_id=ID, content="a@b.example"))
    assert (await redactor.before("update_node", context, node)).data.content == "[EMAIL]"
