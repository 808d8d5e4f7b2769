"""The pages by their file names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.reference import cli, errors, metrics, roles, rpcs, settings

ROOT = Path(__file__).parents[2]

PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings.page,
    "metrics.md": metrics.page,
    "errors.md": errors.page,
    "cli.md": cli.page,
    "role-variables.md": roles.page,
    "rpcs.md": rpcs.page,
}
