"""Only `make test-newest` has the cluster that the thousand pods need, and says so by the environment."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("MEMORY_GRAPH_API_SERVER_PID") else ["test_thousand_pods.py"]
