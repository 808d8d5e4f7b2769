"""JSON Lines in and out: whole, repeatable, and exact about what is wrong."""

from __future__ import annotations

import json
import types
import uuid

import grpc
import pytest

from ingest.samples import message
from memory_graph.cli import importing
from memory_graph.cli.exporting import Exporter
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2_grpc as rpc
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as telemetry_pb
from memory_graph.gen.llm.observatory.v1.telemetry_stream_pb2_grpc import TelemetryStreamStub
from memory_graph.ingest.telemetry.events import FAILURE

NOBODY = "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77"


def as_file(tmp_path, *lines):
    path = tmp_path / "graph.jsonl"
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return str(path)


def sessions(cli):
    return cli("session", "list", "--json").json["total_count"]


def comparable(lines):
    """Records in an order of their own."""
    return sorted(json.dumps(record, sort_keys=True) for record in lines)


@pytest.fixture
def edges_of():
    def collect(address, ids):
        edges = set()
        with grpc.insecure_channel(address) as channel:
            graph = rpc.MemoryGraphServiceStub(channel)
            for id in ids:
                request = pb.GetEdgesRequest(node_id=id, direction=pb.EDGE_DIRECTION_OUTGOING)
                for edge in graph.GetEdges(request).edges:
                    properties = tuple(sorted(edge.properties.items()))
                    times = edge.created_at.ToNanoseconds()
                    edges.add((edge.type, edge.from_node_id, edge.to_node_id, times, properties))
        return edges

    return collect


def test_export_then_import_gives_the_same_graph(new_graph, recording, tmp_path, edges_of):
    first, second = new_graph(), new_graph()
    assert first("import", str(recording)).code == 0
    exported = first("export")
    assert exported.code == 0, exported.err
    (tmp_path / "export.jsonl").write_text(exported.out)
    imported = second("import", str(tmp_path / "export.jsonl"), "--json")
    assert imported.code == 0, imported.err
    assert imported.json["nodes"] == imported.json["nodes_created"]
    assert comparable(second("export").lines) == comparable(exported.lines)
    ids = [record["id"] for record in exported.lines if record["kind"] != "edge"]
    edges = edges_of(first.address, ids)
    assert len(edges) > len(ids) / 2
    assert edges_of(second.address, ids) == edges


def test_telemetry_is_exported_once_and_what_it_only_names_is_not(new_graph, tmp_path, edges_of):
    first, second = new_graph(), new_graph()
    session, done, error = (str(uuid.uuid4()) for _ in range(3))
    events = [
        message(done, metadata={"session_id": session}),
        message(error, FAILURE, caused_by_event_id=NOBODY, metadata={"session_id": session}),
    ]
    with grpc.insecure_channel(first.address) as channel:
        acks = TelemetryStreamStub(channel).StreamEvents(iter([telemetry_pb.EventRequest(events=events)]))
        assert [ack.success for ack in acks] == [True, True]
    exported = first("export")
    assert [record["id"] for record in exported.lines].count(done) == 1
    assert NOBODY not in {record.get("id") for record in exported.lines}
    assert "1 nodes that are only named so far are left out: nothing is known of them yet" in exported.err
    assert "1 edges of nodes outside of this export are left out" in exported.err
    alone = first("export", "--session", session)
    assert NOBODY not in {record.get("id") for record in alone.lines}, "an import could not make it"
    (tmp_path / "export.jsonl").write_text(exported.out)
    imported = second("import", str(tmp_path / "export.jsonl"))
    assert imported.code == 0, imported.err
    assert edges_of(second.address, [done, error]) == edges_of(first.address, [done, error])


class FakeGraphServer:
    """Stands for a server that has nodes of one type, and no edges but those given."""

    def __init__(self, nodes: list[pb.Node], edges: dict[str, int]) -> None:
        self.graph = self.graph_query = self
        self.timeout = 1
        self._edges = edges
        self.GetEdges = self
        self.StreamQuery = lambda request: iter(nodes if request.node_type == pb.NODE_TYPE_INVOCATION else [])

    def call(self, method, request):
        return pb.ListSessionsResponse()

    ListSessions = None

    def future(self, request, timeout):
        edges = [pb.Edge(from_node_id=request.node_id)] * self._edges.get(request.node_id, 0)
        return types.SimpleNamespace(result=lambda: pb.GetEdgesResponse(edges=edges))


def test_responses_that_wait_and_stubs_are_told_apart_and_counted():
    held = [pb.Node(id=f"w{i}", type=9, invocation=pb.InvocationNode(status="waiting")) for i in range(70)]
    stubs = [pb.Node(id=f"s{i}", type=9, invocation=pb.InvocationNode()) for i in range(3)]
    real = pb.Node(id="r", type=9, invocation=pb.InvocationNode(model_id="m", status="success"))
    exporter = Exporter(FakeGraphServer([*held, real, *stubs], {"w0": 1, "s1": 2}))
    assert [record["id"] for record in exporter.everything()] == ["r"]
    assert (exporter.waiting, exporter.stubs, exporter.left_out) == (70, 3, 3)


def test_export_holds_what_was_imported(new_graph, recording):
    cli = new_graph()
    cli("import", str(recording))
    records = [json.loads(line) for line in recording.read_text().splitlines()]
    exported = {record["id"]: record for record in cli("export").lines}
    for record in records:
        if record["kind"] != "edge":
            copy = exported[record["id"]]
            assert copy["created_at"][:19] == record["created_at"][:19]
            fields = set(record) - {"created_at"}
            assert {name: copy[name] for name in fields} == {name: record[name] for name in fields}
    assert len(exported) == len(records)


def test_importing_again_changes_nothing(new_graph, recording):
    cli = new_graph()
    first = cli("import", str(recording), "--json").json
    before = cli("export").out
    again = cli("import", str(recording), "--json")
    assert again.code == 0, again.err
    assert again.json == {**first, "nodes_created": 0}
    assert cli("export").out == before


def test_one_session_brings_what_it_stands_on_and_nothing_else(new_graph, recording, tmp_path):
    cli, other = new_graph(), new_graph()
    cli("import", str(recording))
    session = next(record["id"] for record in cli("export").lines if record["kind"] == "session")
    cli("session", "create")
    alone = cli("export", "--session", session)
    assert alone.code == 0, alone.err
    kinds = [record["kind"] for record in alone.lines]
    assert kinds.count("session") == 1
    assert "agent" in kinds
    (tmp_path / "one.jsonl").write_text(alone.out)
    imported = other("import", str(tmp_path / "one.jsonl"))
    assert imported.code == 0, imported.err
    assert comparable(other("export").lines) == comparable(alone.lines)


def test_output_appears_whole_under_its_name(cli, tmp_path):
    target = tmp_path / "out.jsonl"
    assert cli("export", "--session", NOBODY, "--output", str(target)).code == 3
    assert list(tmp_path.iterdir()) == []
    session = cli("session", "create").out.strip()
    assert cli("export", "--session", session, "--output", str(target)).code == 0
    assert json.loads(target.read_text())["id"] == session
    missing = cli("export", "--output", str(tmp_path / "absent" / "x"))
    assert missing.code == 1
    assert "cannot be written: No such file or directory" in missing.err


def test_refs_stand_for_ids(cli):
    lines = [
        {"kind": "agent", "ref": "planner", "name": "planner"},
        {"kind": "session", "ref": "s", "metadata": {"user": "ref"}},
        {
            "kind": "prompt",
            "ref": "p",
            "session_id": "s",
            "content": "hi",
            "metadata": {"custom": {"agent_id": "planner"}},
        },
        {"kind": "response", "ref": "r", "prompt_id": "p", "content": "ho"},
        {
            "kind": "tool_invocation",
            "response_id": "r",
            "tool_name": "t",
            "parameters": {"a": [1]},
            "status": "success",
        },
        {"kind": "edge", "type": "REFERENCES", "from_id": "r", "to_id": "s"},
    ]
    ended = cli("import", "-", stdin="\n\n".join(json.dumps(line) for line in lines).encode())
    assert ended.code == 0, ended.err
    assert ended.out.strip() == "5 nodes (5 new), 1 edges"
    sessions = cli("query", "--type", "session", "--filter", "metadata.user=ref", "--json").json["nodes"]
    ended = cli("session", "show", sessions[0]["id"]).out
    assert "agent planner" in ended
    assert 'tool t  success  0 ms  {"a":[1]}' in ended


S = {"kind": "session", "id": "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5b01"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "is not JSON at character 2"),
        (b"[]", "must be a JSON object"),
        (b'{"kind": "\xff"}', "is not UTF-8 at byte 11"),
        (b'{"kind": NaN}', "has NaN, which is not JSON"),
        (b"[" * 100_000, "is nested more than 500 deep"),
        ({"kind": "thing"}, "kind is 'thing'; it must be one of session, prompt"),
        ({"content": "x"}, "kind is None"),
        ({"kind": "prompt", "text": "x"}, "a prompt has no field 'text'; it has content, metadata, session_id"),
        ({"kind": "prompt", "session_id": "later", "content": "x"}, "neither a UUID nor the ref of an earlier line"),
        ({"kind": "prompt", "session_id": S["id"], "content": 7}, "content"),
        ({"kind": "session", "created_at": "yesterday"}, "created_at"),
        ({"kind": "session", "ref": S["id"]}, "it must be a name, and no UUID"),
        ({"kind": "edge", "type": "LIKES", "from_id": S["id"], "to_id": S["id"]}, "type is 'LIKES'; it must be one of"),
        ({"kind": "edge", "type": "FOLLOWS", "from_id": S["id"]}, "to_id is missing"),
        ({"kind": "edge", "type": "FOLLOWS", "ref": "e"}, "an edge has no ref"),
    ],
)
def test_a_bad_line_is_named_before_anything_is_written(cli, tmp_path, line, reason):
    before = sessions(cli)
    ended = cli("import", as_file(tmp_path, S, line))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("memory-graph: line 2: ")
    assert reason in ended.err
    assert sessions(cli) == before


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        ({"kind": "prompt", "session_id": S["id"], "content": ""}, 2, "line 2: prompt.content"),
        ({"kind": "prompt", "session_id": NOBODY, "content": "x"}, 3, f"line 2: session {NOBODY} does not exist"),
        (
            {"kind": "tool_invocation", "response_id": NOBODY, "tool_name": "t", "parameters": "{"},
            2,
            "line 2: tool_inv",
        ),
    ],
)
def test_what_the_server_refuses_is_named_and_its_batch_is_not_written(cli, tmp_path, line, code, reason):
    session = {"kind": "session", "id": str(uuid.uuid4())}
    if line.get("session_id") == S["id"]:
        line = {**line, "session_id": session["id"]}
    ended = cli("import", as_file(tmp_path, session, line))
    assert ended.code == code
    assert reason in ended.err
    assert "nothing was written" in ended.err
    assert cli("session", "show", session["id"]).code == 3


def test_earlier_batches_stay_and_the_message_says_so(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_NODES", 2)
    ids = [str(uuid.uuid4()) for _ in range(3)]
    lines = [*({"kind": "session", "id": id} for id in ids), {"kind": "prompt", "session_id": NOBODY, "content": "x"}]
    ended = cli("import", as_file(tmp_path, *lines))
    assert ended.code == 3
    assert "line 4: " in ended.err
    assert "lines up to 2 are written" in ended.err
    assert [cli("session", "show", id).code for id in ids] == [0, 0, 3]


def test_another_content_under_the_same_id_is_refused(cli, tmp_path):
    id = str(uuid.uuid4())
    assert cli("import", as_file(tmp_path, {"kind": "agent", "id": id, "name": "a"})).code == 0
    ended = cli("import", as_file(tmp_path, {"kind": "agent", "id": id, "name": "b"}))
    assert ended.code == 1
    assert f"line 1: node {id} already exists with other content" in ended.err


def test_many_nodes_go_in_bounded_batches(cli, tmp_path):
    session = str(uuid.uuid4())
    prompts = [{"kind": "prompt", "session_id": session, "content": f"number {n} " + "x" * 5000} for n in range(1200)]
    ended = cli("import", as_file(tmp_path, {"kind": "session", "id": session}, *prompts), "--json")
    assert ended.code == 0, ended.err
    assert ended.json["nodes_created"] == 1201
    exported = cli("export", "--session", session).lines
    assert [record["content"].split()[1] for record in exported[1:]] == [str(number) for number in range(1200)]
