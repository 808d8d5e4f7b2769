"""The thousand pods need the cluster of `make test-newest`, which sets a variable of the environment."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("MEMORY_GRAPH_API_SERVER_PID") else ["test_thousand_pods.py"]
