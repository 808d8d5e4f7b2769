# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Makes ``ansible_collections`` importable for a plain pytest run; ansible-test brings its own importer."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.module_utils.ansible_release import __version__
from hypothesis import settings
from hypothesis.internal.conjecture import providers

root = Path(__file__).resolve().parents[4]
if (root / "ansible_collections").is_dir() and str(root) not in sys.path:
    sys.path.insert(0, str(root))

# Each run generates the same examples; --hypothesis-profile=random has others, to search for what these do not show.
settings.register_profile("random", settings.get_profile("ci"), derandomize=False)
# On the oldest ansible-core the properties are searched; on each newer one, with a newer Python, they are tried out.
settings.register_profile("few", settings.get_profile("ci"), max_examples=10)
settings.load_profile("ci" if __version__.startswith("2.19.") else "few")
# Constants of whatever the process has imported by then would make others of them, run by run and edit by edit.
providers.HypothesisProvider._local_constants = providers.Constants()
