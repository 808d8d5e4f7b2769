#!/usr/bin/env bash
# purgatory's circuit breaker does not limit the trials of its half-open state: every call that comes before the first
# trial has ended goes through, so a dependency that is just coming back gets the whole load at once.
# Seen 2026-11-28 with purgatory 3.0.1, 50 calls at once after the recovery time:
#   half-open -> 50 of 50 calls at the same time, 0 refused
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet purgatory==3.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
from importlib.metadata import version

from purgatory import AsyncCircuitBreakerFactory

CALLS = 50


async def calls_in_half_open():
    breaker = await AsyncCircuitBreakerFactory(default_threshold=1, default_ttl=0.05).get_breaker("database")
    try:
        async with breaker:
            raise ConnectionError
    except ConnectionError:
        pass
    assert breaker.context.state == "opened"
    await asyncio.sleep(0.1)
    waiting, together, refused = 0, asyncio.Event(), 0

    async def call():
        nonlocal waiting, refused
        try:
            async with breaker:
                waiting += 1
                await asyncio.wait_for(together.wait(), 5)
        except Exception:
            refused += 1

    calls = [asyncio.create_task(call()) for _number in range(CALLS)]
    await asyncio.sleep(0.1)
    admitted = waiting
    together.set()
    await asyncio.gather(*calls)
    return admitted, refused


admitted, refused = asyncio.run(calls_in_half_open())
print("purgatory", version("purgatory"))
print("half-open ->", admitted, "of", CALLS, "calls at the same time,", refused, "refused")
assert (admitted, refused) == (CALLS, 0), "behaviour has changed"
PYTHON
