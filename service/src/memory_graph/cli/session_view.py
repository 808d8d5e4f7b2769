"""The part of a session that `memory-graph session show` draws, read in pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.cli.client import GraphClient
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb

_PAGE = 1000
_IN_FLIGHT = 64


class SessionView:
    """The newest prompts of a session, oldest first, with what came of them; read in pages."""

    def __init__(self, client: GraphClient, session_id: str, limit: int) -> None:
        self._client = client
        self.session: pb.Session = client.call(client.graph.GetSession, pb.GetSessionRequest(session_id=session_id))
        newest = self._query(pb.NODE_TYPE_PROMPT, limit=limit)
        self.prompts: list[pb.Node] = list(reversed(newest.nodes))
        self.counts = {
            "prompts": newest.total_count,
            "responses": self._query(pb.NODE_TYPE_RESPONSE, limit=1).total_count,
            "tool calls": self._query(pb.NODE_TYPE_TOOL_INVOCATION, limit=1).total_count,
        }
        self.hidden: int = newest.total_count - len(self.prompts)
        self.responses = self._children(pb.NODE_TYPE_RESPONSE, {node.id for node in self.prompts})
        ids = {node.id for nodes in self.responses.values() for node in nodes}
        self.tools = self._children(pb.NODE_TYPE_TOOL_INVOCATION, ids)
        self.follows = self._follows()
        self.agents = self._agents()

    @property
    def tokens(self) -> int:
        """Tokens of the responses read."""
        return sum(node.response.token_usage.total_tokens for nodes in self.responses.values() for node in nodes)

    def nodes(self) -> Iterable[pb.Node]:
        """Everything read, parents before children."""
        for prompt in self.prompts:
            yield prompt
            for response in self.responses.get(prompt.id, ()):
                yield response
                yield from self.tools.get(response.id, ())

    def _query(
        self, node_type: pb.NodeType, *, limit: int, offset: int = 0, after: Timestamp | None = None
    ) -> pb.QueryResponse:
        request = pb.QueryRequest(
            session_id=self.session.id, node_type=node_type, limit=limit, offset=offset, after=after
        )
        answer: pb.QueryResponse = self._client.call(self._client.graph.Query, request)
        return answer

    def _children(self, node_type: pb.NodeType, parents: set[str]) -> dict[str, list[pb.Node]]:
        """Nodes of a type by parent, oldest first. Of a session shown in part, only times after its first prompt are
        read: an answer is not older than its question."""
        after = self.prompts[0].created_at if self.hidden else None
        children: dict[str, list[pb.Node]] = defaultdict(list)
        offset = 0
        while parents:
            page = self._query(node_type, limit=_PAGE, offset=offset, after=after)
            for node in page.nodes:
                parent = node.response.prompt_id or node.tool_invocation.response_id
                if parent in parents:
                    children[parent].insert(0, node)
            offset += len(page.nodes)
            if offset >= page.total_count or not page.nodes:
                break
        return children

    def _follows(self) -> dict[str, pb.Edge]:
        """The FOLLOWS edge of each prompt that has one."""
        edges: dict[str, pb.Edge] = {}
        for start in range(0, len(self.prompts), _IN_FLIGHT):
            pending = [
                self._client.graph.GetEdges.future(
                    pb.GetEdgesRequest(
                        node_id=prompt.id, direction=pb.EDGE_DIRECTION_OUTGOING, type=pb.EDGE_TYPE_FOLLOWS
                    ),
                    timeout=self._client.timeout,
                )
                for prompt in self.prompts[start : start + _IN_FLIGHT]
            ]
            edges.update((edge.from_node_id, edge) for answer in pending for edge in answer.result().edges)
        return edges

    def _agents(self) -> dict[str, str]:
        ids = {node.prompt.metadata.custom.get("agent_id", "") for node in self.prompts} - {""}
        answer = self._client.call(self._client.graph.BatchGetNodes, pb.BatchGetNodesRequest(node_ids=sorted(ids)))
        return {node.id: node.agent.name for node in answer.nodes}
