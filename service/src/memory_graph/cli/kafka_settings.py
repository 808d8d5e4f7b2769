"""The Kafka settings of commands, and the translation of Kafka errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from memory_graph import config
from memory_graph.cli.failure import NOT_FOUND, UNREACHABLE, WRONG_INPUT, Failure

EPILOG = (
    "The brokers are those of KAFKA_BOOTSTRAP_SERVERS and the other KAFKA_ settings, as workers have them"
    " (memory-graph worker --help); in a cluster: kubectl exec deploy/memory-graph-worker -- memory-graph …"
)


@contextmanager
def kafka_settings() -> Iterator[config.Settings]:
    """Yield the settings of the environment. Errors of Kafka inside the block become `Failure`."""
    from memory_graph.kafka.connectivity import KafkaUnreachable, UnknownTopic  # noqa: PLC0415 - imported when the command runs

    try:
        yield config.load()
    except config.SettingsError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    except UnknownTopic as error:
        raise Failure(str(error), NOT_FOUND) from None
    except KafkaUnreachable as error:
        raise Failure(str(error), UNREACHABLE) from None
