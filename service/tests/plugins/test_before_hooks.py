"""A before-hook may change or refuse; one that fails lets nothing pass."""

from __future__ import annotations

import json

import pytest

from memory_graph.model.errors import Vetoed
from memory_graph.plugins import PluginFailed
from memory_graph.telemetry.logs import configure_logging


def errors(metrics, plugin, error_type):
    labels = {"plugin": plugin, "error_type": error_type}
    return metrics.registry.get_sample_value("memory_graph_plugin_errors_total", labels) or 0


@pytest.mark.parametrize("how", ["def", "async def"])
async def test_changes_the_value_for_the_next_plugin_by_priority(load, prompt, context, metrics, how):
    host = load(
        f"""
        class Second(Plugin):
            name, priority = "second", 20
            {how} before_create_node(self, context, node):
                return changed(node, content=node.data.content + " second")
        """,
        f"""
        class First(Plugin):
            name, priority = "first", 10
            {how} before_create_node(self, context, node):
                return changed(node, content=node.data.content + " first")
        """,
    )
    result = await host.before("create_node", context, prompt)
    assert result.data.content == "hello first second"
    labels = {"plugin": "first", "hook": "before_create_node"}
    assert metrics.registry.get_sample_value("memory_graph_plugin_executions_total", labels) == 1
    assert metrics.registry.get_sample_value("memory_graph_plugin_duration_seconds_count", labels) == 1


async def test_none_leaves_the_value(load, prompt, context):
    host = load("class A(Plugin):\n    name = 'a'\n    def before_create_node(self, context, node): pass")
    assert await host.before("create_node", context, prompt) is prompt


@pytest.mark.parametrize("how", ["def", "async def"])
async def test_veto_names_plugin_and_reason_and_is_no_error(load, prompt, context, metrics, how):
    host = load(
        f"""
        class A(Plugin):
            name = "a"
            {how} before_create_node(self, context, node):
                raise Veto("not on Sundays")
        """
    )
    with pytest.raises(Vetoed, match="plugin a refused: not on Sundays"):
        await host.before("create_node", context, prompt)
    assert errors(metrics, "a", "Veto") == 0


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("'text'", "returned str, not Node or None"),
        ("msgspec.structs.replace(node, id='other')", "changed id,"),
        ("msgspec.structs.replace(node, type=3)", "changed type,"),
        ("msgspec.structs.replace(node, session_id=None)", "changed session_id,"),
        ("changed(node, session_id='other')", "changed session_id,"),
        ("msgspec.structs.replace(node, data=SessionData())", "changed the data to SessionData"),
        ("changed(node, content=7)", "returned a Node that is not valid"),
        ("changed(node, content='\\ud800')", "returned a Node that is not valid"),
    ],
)
async def test_refuses_a_value_that_may_not_be_used(load, prompt, context, metrics, returned, reason):
    host = load(
        f"class A(Plugin):\n    name = 'a'\n    async def before_create_node(self, context, node): return {returned}"
    )
    with pytest.raises(PluginFailed, match=reason) as failure:
        await host.before("create_node", context, prompt)
    assert "plugin a" in str(failure.value)
    assert errors(metrics, "a", "bad_value") == 1


async def test_a_deletion_cannot_be_turned_to_another_node(load, context):
    host = load("class A(Plugin):\n    name = 'a'\n    def before_delete_node(self, context, id): return 'other'")
    with pytest.raises(PluginFailed, match="returned another id"):
        await host.before("delete_node", context, "one")


@pytest.mark.parametrize(
    "hook",
    [
        "async def before_create_node(self, context, node): await asyncio.Event().wait()",
        "def before_create_node(self, context, node): threading.Event().wait()",
    ],
)
async def test_a_hook_that_does_not_end_refuses_the_write(load, prompt, context, metrics, hook):
    host = load(f"class A(Plugin):\n    name = 'a'\n    {hook}", timeout_s=0.05)
    with pytest.raises(PluginFailed, match="plugin a did not end within 50 ms in before_create_node"):
        await host.before("create_node", context, prompt)
    assert errors(metrics, "a", "timeout") == 1


async def test_a_thread_that_hangs_does_not_hold_up_the_next_call(load, prompt, context):
    host = load(
        """
        class A(Plugin):
            name = "a"
            calls = 0
            def before_create_node(self, context, node):
                A.calls += 1
                if A.calls == 1:
                    threading.Event().wait()
                return changed(node, content="second call")
        """,
        timeout_s=2,
    )
    with pytest.raises(PluginFailed):
        await host.before("create_node", context, prompt)
    assert (await host.before("create_node", context, prompt)).data.content == "second call"


async def test_an_exception_refuses_the_write_and_its_text_stays_out_of_the_log(load, prompt, context, metrics, capsys):
    import sys

    configure_logging("info", sys.stdout)
    host = load(
        """
        class A(Plugin):
            name = "a"
            def before_create_node(self, context, node):
                raise KeyError(node.data.content)
        """
    )
    with pytest.raises(PluginFailed, match="raised KeyError in before_create_node; nothing was done") as failure:
        await host.before("create_node", context, prompt)
    assert "hello" not in str(failure.value)
    assert errors(metrics, "a", "KeyError") == 1
    line = capsys.readouterr().out
    assert "hello" not in line
    logged = json.loads(line)
    assert (logged["plugin"], logged["hook"], logged["tenant_id"]) == ("a", "before_create_node", "default")
    assert any("plugin_0.py" in frame for frame in logged["frames"])


async def test_has_hooks_only_for_hooked_operations(load):
    host = load(
        """
        class A(Plugin):
            name = "a"
            def before_query(self, context, condition): pass
            def after_update_node(self, context, node): pass
        """
    )
    hooked = [host.has_hooks(name) for name in ("query", "update_node", "create_node", "create_session")]
    assert hooked == [True, True, False, False]
