"""Each command does what it says, for people and for machines."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid

import pytest
from click.testing import CliRunner

from memory_graph import __version__
from memory_graph.cli import main

NOBODY = "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77"


@pytest.fixture
def session(cli):
    return cli("session", "create", "--metadata", "user=me", "--metadata", "note=a=b").out.strip()


def test_a_conversation_is_recorded_and_drawn(cli, session):
    first = cli("prompt", "add", session, "Find me a train", "--model", "m1").out.strip()
    answer = cli(
        "response", "add", first, "There are two", "--prompt-tokens", "10", "--completion-tokens", "402",
        "--finish-reason", "stop", "--latency-ms", "2900",
    ).out.strip()  # fmt: skip
    assert str(uuid.UUID(answer)) == answer
    second = cli("prompt", "add", session, "-", stdin="The \x1b[31mcheaper\nöne".encode()).out.strip()
    ended = cli("session", "show", session)
    assert ended.code == 0, ended.err
    header, *tree = ended.out.splitlines()
    assert header.startswith(f"session {session}  note=a=b user=me  active  ")
    assert header.endswith("2 prompts · 1 response · 0 tool calls · 412 tokens")
    assert '"Find me a train"  m1' in tree[0]
    assert '"There are two"  stop · 412 tokens · 2.9 s' in tree[1]
    assert '"The [31mcheaper öne"  follows ↑' in tree[2]
    assert "\x1b" not in ended.out
    document = cli("session", "show", session, "--json").json
    assert document["counts"] == {"prompts": 2, "responses": 1, "tool_calls": 0}
    assert [node["id"] for node in document["nodes"]] == [first, answer, second]
    assert document["nodes"][1]["token_usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 402,
        "total_tokens": 412,
    }
    assert [(edge["from_id"], edge["to_id"]) for edge in document["edges"]] == [(second, first)]


def test_the_recorded_conversation_is_drawn_with_tools_agents_and_errors(cli, recording):
    assert cli("import", str(recording)).code == 0
    records = [json.loads(line) for line in recording.read_text().splitlines()]
    session = next(record["id"] for record in records if record["kind"] == "session")
    prompts = sum(record["kind"] == "prompt" for record in records)
    out = cli("session", "show", session).out
    assert "  closed  " in out
    assert out.count("prompt   ") == prompts
    assert out.count("follows ↑") == prompts - 1
    for tool in (record for record in records if record["kind"] == "tool_invocation"):
        assert f"tool {tool['tool_name']}  {tool['status']}  " in out
        assert tool.get("error", "")[:40] in out
    for agent in (record["name"] for record in records if record["kind"] == "agent"):
        assert f"agent {agent}" in out
    assert "retried 2x" in out


def test_a_long_session_is_shown_in_part(cli, session):
    for number in range(5):
        prompt = cli("prompt", "add", session, f"question {number}").out.strip()
        cli("response", "add", prompt, f"answer {number}")
    out = cli("session", "show", session, "--limit", "2").out
    assert "… 3 earlier prompts" in out
    assert [number for number in range(5) if f"question {number}" in out] == [3, 4]
    assert [number for number in range(5) if f"answer {number}" in out] == [3, 4]
    assert "5 prompts · 5 responses" in out
    assert out.count("follows ↑") == 1
    assert out.count("follows 0") == 1, "the first one shown follows one that is not shown"


def test_query_filters_and_pages(cli, session):
    for text, model in [("red apples", "m1"), ("green apples", "m2"), ("green pears", "m1")]:
        cli("prompt", "add", session, text, "--model", model, "--custom", "team=x")
    only = ("query", "--session", session, "--json")

    def contents(*more):
        return [node["content"] for node in cli(*only, *more).json["nodes"]]

    assert contents("--text", "apples") == ["green apples", "red apples"]
    assert contents("--filter", "model=m1", "--filter", "custom.team=x") == ["green pears", "red apples"]
    assert contents("--type", "response") == []
    assert contents("--type", "prompt", "--limit", "1", "--offset", "1") == ["green apples"]
    assert contents("--before", "2000-01-01") == []
    assert len(contents("--type", "prompt", "--after", "2000-01-01T00:00:00Z")) == 3
    table = cli("query", "--session", session, "--text", "pears")
    assert "green pears" in table.out
    assert table.err.strip() == "1 of 1 nodes"


def test_list_shows_newest_first_and_how_to_see_more(cli, session):
    newest = cli("session", "create").out.strip()
    listed = cli("session", "list", "--limit", "1")
    assert newest in listed.out
    assert session not in listed.out
    assert "--offset 1 shows more" in listed.err
    document = cli("session", "list", "--limit", "2", "--json").json
    assert [item["id"] for item in document["sessions"]] == [newest, session]
    assert document["sessions"][1]["metadata"] == {"note": "a=b", "user": "me"}


def test_close_and_delete(cli, session):
    assert cli("session", "close", session).out.strip() == f"{session} closed"
    assert cli("session", "close", session, "--json").json["is_active"] is False
    refused = cli("prompt", "add", session, "too late")
    assert refused.code == 1
    assert "is closed" in refused.err
    assert cli("session", "delete", session).code == 0
    assert cli("session", "show", session).code == 3


def test_a_template_makes_a_prompt(cli, session):
    template = cli("template", "create", "greet", "Hello {{who}}, {{what}}", "--require", "who", "--default", "what=hi")
    prompt = cli("template", "instantiate", template.out.strip(), session, "--set", "who=Ana", "--json").json
    assert prompt["content"] == "Hello Ana, hi"
    missing = cli("template", "instantiate", template.out.strip(), session)
    assert missing.code == 2
    assert "who" in missing.err


def test_health_and_version(cli):
    answer = cli("health", "--json").json
    assert (answer["status"], answer["version"]) == ("SERVING", __version__)
    assert cli("health").out.startswith("SERVING")
    assert cli("version").out.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("session", "show", NOBODY), 3, f"memory-graph: session {NOBODY} does not exist"),
        (("session", "show", "x"), 2, "session_id: must be a UUID"),
        (("prompt", "add", NOBODY, ""), 2, "content"),
        (("response", "add", NOBODY, "x"), 3, "does not exist"),
        (("query", "--filter", "colour=red"), 2, "colour"),
        (("query", "--filter", "model"), 2, "'model' is not key=value"),
        (("query", "--after", "yesterday"), 2, "'yesterday' is no time such as"),
        (("session", "create", "--metadata", "a=1", "--metadata", "a=2"), 2, "'a' is given twice"),
        (("health", "--tls-cert", __file__), 2, "--tls-cert and --tls-key must be given together"),
        (("health", "--timeout", "0"), 2, "--timeout"),
        (("sesion",), 2, "No such command 'sesion'"),
    ],
)
def test_failures_are_one_sentence_and_a_code(cli, arguments, code, sentence):
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert sentence in ended.err
    assert "Traceback" not in ended.err


def test_input_that_is_not_utf8_is_refused(cli, session):
    ended = cli("prompt", "add", session, "-", stdin=b"ok\xff")
    assert (ended.code, ended.err.strip()) == (2, "memory-graph: standard input is not UTF-8 at byte 2")


def test_an_unreachable_server_is_named_with_the_way_out(cli):
    ended = cli("health", address="127.0.0.1:1")
    assert ended.code == 4
    assert ended.err.startswith("memory-graph: no memory graph answers at 127.0.0.1:1 (")
    assert "--address" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        ({"GRPC_PORT": "70000"}, 2, "GRPC_PORT='70000'"),
        ({"PLUGIN_DIRS": "/absent/plugins"}, 1, "plugin directory /absent/plugins: No such file or directory"),
    ],
)
def test_serve_refuses_wrong_settings(serve, settings, code, sentence):
    server = serve(ready=False, **settings)
    assert server.wait() == code
    messages = [line for line in server.output if not line.startswith("{")]
    assert len(messages) == 1
    assert messages[0].startswith("memory-graph: ")
    assert sentence in messages[0]


def test_help_imports_neither_grpc_nor_rich():
    code = (
        "import sys; from memory_graph.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "sys.exit(bool({'grpc', 'rich', 'pydantic'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_every_command_has_help():
    for path in ([], ["session"], ["prompt"], ["response"], ["template"]):
        group = main if not path else main.get_command(None, path[0])
        for name in group.list_commands(None):
            ended = CliRunner().invoke(main, [*path, name, "--help"])
            assert ended.exit_code == 0, ended.output
            assert "Usage:" in ended.output
    assert "GRPC_PORT" in CliRunner().invoke(main, ["serve", "--help"]).output


def test_a_former_name_of_a_command_works_and_warns_once():
    ended = CliRunner().invoke(main, ["replay", "--help"])
    assert ended.exit_code == 0
    assert ended.stdout == CliRunner().invoke(main, ["reset-offsets", "--help"]).stdout
    assert ended.stderr == "memory-graph: replay is now called reset-offsets; the old name goes with the next release\n"
    assert "replay" not in CliRunner().invoke(main, ["--help"]).output
