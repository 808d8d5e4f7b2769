"""`python -m support.prefetch`: a JDK, Maven and the jars of Kafka and Neo4j, had before tests run side by side.

On a machine without them that takes minutes, which are no test's, and Debian's packages are installed by one process.
"""

from __future__ import annotations

import sys

from support.kafka_server import KAFKA
from support.maven import Unavailable, jars, program
from support.neo4j_server import NEO4J


def main() -> int:
    try:
        for name in ("java", "mvn"):
            program(name)
        for which in (KAFKA, NEO4J):
            jars(which)
    except Unavailable as reason:
        print(f"prefetch: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
