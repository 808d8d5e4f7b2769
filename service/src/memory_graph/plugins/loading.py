"""Load the plugins in PLUGIN_DIRS.

Every file must load: a service that starts without the guard it was given is worse than one that does not start.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from memory_graph.plugins.api import HOOKS, Plugin, PluginLoadError
from memory_graph.plugins.host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from memory_graph.telemetry.metrics import Metrics

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


def split_directories(text: str) -> list[Path]:
    """Split a PLUGIN_DIRS value at commas and at the system's path separator; blanks are ignored."""
    return [Path(part.strip()) for part in re.split(f"[,{re.escape(os.pathsep)}]", text) if part.strip()]


def load_plugins(directories: Iterable[Path | str], timeout_s: float, metrics: Metrics) -> PluginHost:
    """Load every plugin of every `*.py` file directly in the directories; names that start with `_` are left out.

    timeout_s: how long one hook may take. Raises `PluginLoadError` with one sentence: file, reason, way out.
    """
    plugins: dict[str, Plugin] = {}
    for directory in directories:
        for path in _files(Path(directory)):
            for plugin in _load(path):
                if plugin.name in plugins:
                    raise PluginLoadError(
                        f"plugin file {path}: a plugin named {plugin.name!r} is loaded already; give each its own name"
                    )
                plugins[plugin.name] = plugin
    return PluginHost(tuple(plugins.values()), timeout_s, metrics)


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(
            path
            for path in directory.iterdir()
            if path.suffix == ".py" and not path.name.startswith(("_", ".")) and path.is_file()
        )
    except OSError as error:
        raise PluginLoadError(
            f"plugin directory {directory}: {error.strerror}; create it, or take it out of PLUGIN_DIRS"
        ) from None


def _load(path: Path) -> Iterator[Plugin]:
    module = _import(path)
    classes = [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, Plugin) and cls.__module__ == module.__name__
    ]
    if not classes:
        raise PluginLoadError(
            f"plugin file {path}: no class derives from memory_graph.plugins.Plugin; "
            "add one, or start the file's name with an underscore"
        )
    for cls in classes:
        _check(path, cls)
        try:
            yield cls()
        except Exception as error:
            raise _unusable(path, f"{cls.__name__}() raised {_one_line(error)}") from error


def _import(path: Path) -> ModuleType:
    name = f"memory_graph_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _unusable(path, "it is no Python module")
    module = importlib.util.module_from_spec(spec)
    # Known under its name while it runs: dataclasses and msgspec look their module up.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _unusable(path, f"its import raised {_one_line(error)}") from error
    return module


def _check(path: Path, cls: type[Plugin]) -> None:
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginLoadError(
            f"plugin file {path}: {cls.__name__}.name is {name!r}; "
            "it must be lower-case letters, digits, '.', '_' or '-', at most 63"
        )
    if not isinstance(cls.priority, int):
        raise PluginLoadError(f"plugin file {path}: {cls.__name__}.priority is {cls.priority!r}; it must be a number")
    methods = [(name, member) for name, member in inspect.getmembers(cls, callable) if _looks_like_hook(name)]
    for name, method in methods:
        if name not in HOOKS:
            raise PluginLoadError(f"plugin file {path}: {cls.__name__}.{name} is no hook; hooks are {', '.join(HOOKS)}")
        try:
            inspect.signature(method).bind(None, None, None)
        except TypeError:
            raise PluginLoadError(
                f"plugin file {path}: {cls.__name__}.{name} must take exactly (self, context, value)"
            ) from None


def _looks_like_hook(name: str) -> bool:
    return name.startswith(("before_", "after_"))


def _unusable(path: Path, reason: str) -> PluginLoadError:
    return PluginLoadError(f"plugin file {path}: {reason}; correct it, or take the file out of PLUGIN_DIRS")


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
