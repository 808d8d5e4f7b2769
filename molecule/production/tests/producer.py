"""A producer of the telemetry of one run, which prints how many events were acknowledged.

It runs in a pod of the release, whose settings name the brokers.

producer.py RUN COUNT PER_SECOND
"""

from __future__ import annotations

import json
import sys
import time
import uuid

from confluent_kafka import Producer

from memory_graph.config import Settings
from memory_graph.kafka.settings import producer_settings

TOPIC = "llm-telemetry-events"
AT_MS = 1_700_000_000_000
acknowledged = 0


def on_delivery(error: object, _message: object) -> None:
    global acknowledged  # noqa: PLW0603 - one program, one count
    acknowledged += error is None


def main(run: str, count: int, per_second: int) -> None:
    producer = Producer(producer_settings(Settings()))
    began = time.monotonic()
    for number in range(count):
        event = {
            "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run}-{number}")),
            "event_type": "llm.invocation.complete",
            "timestamp": AT_MS + number,
            "metadata": {"run": run},
            "payload": {"model_id": "large", "provider": "acme", "token_count": 42, "latency_ms": 12.5,
                        "status": "success"},
            "trace_id": f"trace-{number % 16}",
        }  # fmt: skip
        producer.produce(TOPIC, json.dumps(event).encode(), f"trace-{number % 16}".encode(), on_delivery=on_delivery)
        producer.poll(max(0.0, began + number / per_second - time.monotonic()))
    producer.flush(60)
    print(acknowledged)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
