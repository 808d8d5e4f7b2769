"""After-hooks run behind the answer, in order, and can break nothing."""

from __future__ import annotations

import asyncio


def errors(metrics, error_type):
    labels = {"plugin": "a", "error_type": error_type}
    return metrics.registry.get_sample_value("memory_graph_plugin_errors_total", labels) or 0


RECORDING = """
seen = []
class A(Plugin):
    name = "a"
    {how} after_delete_node(self, context, id):
        if id == "bad":
            raise ValueError(id)
        if id == "stuck":
            await asyncio.Event().wait()
        seen.append(id)
"""


def seen_by(host):
    import sys

    return sys.modules[type(host.plugins[0]).__module__].seen


async def test_runs_in_order_after_the_call_and_a_failure_does_not_stop_the_rest(load, context, metrics):
    host = load(RECORDING.format(how="async def"))
    for id in ("1", "bad", "2"):
        host.after("delete_node", context, id)
    assert seen_by(host) == []
    await host.close(30)
    assert seen_by(host) == ["1", "2"]
    assert errors(metrics, "ValueError") == 1


async def test_a_plain_hook_runs_too(load, context):
    host = load("seen = []\nclass A(Plugin):\n    name = 'a'\n    def after_delete_node(self, c, id): seen.append(id)")
    host.after("delete_node", context, "1")
    await host.close(30)
    assert seen_by(host) == ["1"]


async def test_a_stuck_hook_is_cut_off_and_counted(load, context, metrics):
    host = load(RECORDING.format(how="async def"), timeout_s=0.05)
    host.after("delete_node", context, "stuck")
    host.after("delete_node", context, "1")
    await host.close(30)
    assert seen_by(host) == ["1"]
    assert errors(metrics, "timeout") == 1


async def test_what_cannot_wait_is_dropped_and_counted(load, context, metrics):
    host = load(RECORDING.format(how="async def"))
    host.after("delete_node", context, "stuck")
    await asyncio.sleep(0)
    for number in range(300):
        host.after("delete_node", context, str(number))
    assert errors(metrics, "dropped") == 300 - 256
    await host.close(0.05)
    assert errors(metrics, "dropped") == 300
    assert seen_by(host) == []
