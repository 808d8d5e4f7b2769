# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Addresses of servers as sentences may show them."""

from __future__ import annotations

import re

NEO4J_URI = re.compile(r"(neo4j|bolt)(\+s|\+ssc)?://[^/@\s]+$")
"""The URI of a Neo4j database, without user, password and path."""
BROKER = re.compile(r"[^,:@/\s]+:[0-9]+$")
"""A Kafka broker as host:port."""


def without_credentials(address: str) -> str:
    """Return a URI or host:port with `…` in place of the user and password before its host, if it has any."""
    scheme, separator, rest = address.partition("//")
    if not separator:
        scheme, rest = "", address
    return scheme + separator + re.sub(".*@", "…@", rest, flags=re.DOTALL)
