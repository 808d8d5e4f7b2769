"""The pipeline of the tests of this folder."""

from __future__ import annotations

import pytest

from ingest.pipeline_harness import PipelineHarness


@pytest.fixture
async def harness():
    harness = PipelineHarness()
    yield harness
    harness.draining.set()
    harness.store.gate.set()
    await harness.pipeline.close()
