"""A broker inside the Kafka client library (librdkafka's mock cluster) that refuses what a test tells it to: for faults
that real ones show for some milliseconds while a coordinator moves."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import confluent_kafka  # noqa: F401 - loads the library

OFFSET_COMMIT, OFFSET_FETCH = 8, 9
"""Keys of requests in Kafka's protocol."""
_PRODUCER, _BROKER = 0, 1
_CRITICAL = b"2"


class MockBroker:
    """One broker, for clients of any process. A context manager."""

    def __enter__(self) -> Self:
        self._library = ctypes.CDLL(_loaded_library())
        conf = self._call("rd_kafka_conf_new")
        reason = ctypes.create_string_buffer(512)
        self._call("rd_kafka_conf_set", conf, b"log_level", _CRITICAL, reason, ctypes.c_size_t(len(reason)))
        self._client = self._call("rd_kafka_new", _PRODUCER, conf, reason, ctypes.c_size_t(len(reason)))
        assert self._client.value, reason.value
        self._cluster = self._call("rd_kafka_mock_cluster_new", self._client, 1)
        self._call("rd_kafka_mock_group_initial_rebalance_delay_ms", self._cluster, 0)
        self.bootstrap = ctypes.string_at(self._call("rd_kafka_mock_cluster_bootstraps", self._cluster).value).decode()
        return self

    def __exit__(self, *exc: object) -> None:
        self._call("rd_kafka_mock_cluster_destroy", self._cluster)
        self._call("rd_kafka_destroy", self._client)

    def make_topic(self, name: str, partitions: int = 1) -> None:
        self._call("rd_kafka_mock_topic_create", self._cluster, name.encode(), partitions, 1)

    def refuse(self, request: int, codes: Sequence[int], *, after_ms: int = 0) -> None:
        """Refuses the next requests of a kind, one for each code, each so long after it came."""
        answers = [number for code in codes for number in (code, after_ms)]
        self._call("rd_kafka_mock_broker_push_request_error_rtts", self._cluster, _BROKER, request,
                   ctypes.c_size_t(len(codes)), *answers)  # fmt: skip

    def unrefused(self, request: int) -> int:
        """Return how many of the refusals are not used yet."""
        count = ctypes.c_size_t()
        self._call("rd_kafka_mock_broker_error_stack_cnt", self._cluster, _BROKER, request, ctypes.byref(count))
        return count.value

    def _call(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        function = self._library[name]
        function.restype = ctypes.c_void_p
        return ctypes.c_void_p(function(*arguments))


def _loaded_library() -> str:
    """Return the path of the library that this process has loaded."""
    mapped = (line.split() for line in Path("/proc/self/maps").read_text().splitlines())
    return next(fields[-1] for fields in mapped if "librdkafka" in fields[-1])
