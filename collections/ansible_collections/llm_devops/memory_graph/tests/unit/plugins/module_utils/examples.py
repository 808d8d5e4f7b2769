# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The number of examples that a property test generates."""

from __future__ import annotations

from hypothesis import settings

USUAL = 100
"""Of the profile that searches, as of hypothesis's own."""


def examples(count: int) -> settings:
    """As many where the profile that is loaded has the usual number, else fewer or more in proportion."""
    return settings(max_examples=max(1, count * settings.default.max_examples // USUAL))
