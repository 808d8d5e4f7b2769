# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The report of a run of the unit tests."""

from __future__ import annotations


def pytest_configure(config):
    """ansible-test passes pytest no options: which tests are slow is asked for here."""
    config.option.durations = config.option.durations or 10
