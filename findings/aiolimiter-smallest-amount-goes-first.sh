#!/usr/bin/env bash
# aiolimiter serves waiters by amount and not by arrival: who asked first for much waits until everybody who asked later
# for less is served. A limiter whose amounts differ (bytes, tokens of a model) is therefore no queue; asking in portions
# of one size, or a fair queue in front of it, is.
# Seen 2026-11-28 with aiolimiter 1.3.0, a bucket of 100 a second that is used up, then one waiter for 60 and 20 for 1:
#   first to ask  60 tokens  -> served as number 21 of 21
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet aiolimiter==1.3.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
from importlib.metadata import version

from aiolimiter import AsyncLimiter


async def order_of_service():
    limiter = AsyncLimiter(100, 1)
    await limiter.acquire(100)
    served = []

    async def take(name, amount):
        await limiter.acquire(amount)
        served.append(name)

    waiters = [asyncio.create_task(take("large", 60))]
    await asyncio.sleep(0)
    waiters += [asyncio.create_task(take("small", 1)) for _number in range(20)]
    await asyncio.gather(*waiters)
    return served


served = asyncio.run(order_of_service())
print("aiolimiter", version("aiolimiter"))
print("first to ask  60 tokens  -> served as number", served.index("large") + 1, "of", len(served))
assert served.index("large") == 20, "behaviour has changed"
PYTHON
