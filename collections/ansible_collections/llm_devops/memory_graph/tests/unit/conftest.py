# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Makes ``ansible_collections`` importable for a plain pytest run; ansible-test brings its own importer."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

root = Path(__file__).resolve().parents[5]
if (root / "ansible_collections").is_dir() and str(root) not in sys.path:
    sys.path.insert(0, str(root))

# how long a busy machine takes to make or run an example says nothing about the code
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")


def pytest_configure(config):
    """ansible-test passes pytest no options: which tests are slow is asked for here."""
    config.option.durations = config.option.durations or 10
