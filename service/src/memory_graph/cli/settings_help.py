"""The settings on a command's help page, from where they are declared."""

from __future__ import annotations

import click

from memory_graph import config


class SettingsHelp(click.Command):
    """Adds the settings that a command reads to its help page. unread: names, or their beginnings, that it does not."""

    unread: tuple[str, ...] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Settings (environment)"):
            formatter.write_dl(
                [
                    (name.upper(), f"{field.description}{_default(field.default)}")
                    for name, field in config.Settings.model_fields.items()
                    if not (self.unread and name.startswith(self.unread))
                ]
            )


def _default(value: object) -> str:
    if isinstance(value, dict):
        value = ",".join(value)
    return f" [{value}]" if isinstance(value, int | str) and value != "" else ""
