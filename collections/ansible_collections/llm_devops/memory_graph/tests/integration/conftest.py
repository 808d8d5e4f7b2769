# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Makes ``ansible_collections`` importable for a plain pytest run; ansible-test brings its own importer."""

from __future__ import annotations

import sys
from pathlib import Path

root = Path(__file__).resolve().parents[5]
if (root / "ansible_collections").is_dir() and str(root) not in sys.path:
    sys.path.insert(0, str(root))
