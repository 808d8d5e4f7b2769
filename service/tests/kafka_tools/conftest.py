"""Topics for one test each."""

from __future__ import annotations

import pytest

from support.kafka_topics import new_topic


@pytest.fixture
def topic(kafka: str) -> str:
    return new_topic(kafka)
