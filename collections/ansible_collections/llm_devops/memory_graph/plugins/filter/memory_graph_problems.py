# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filter: what cannot work in the arguments of the role memory_graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..plugin_utils.addresses import BROKER, NEO4J_URI, without_credentials
from ..plugin_utils.container_image import PIN, ContainerImage

DOCUMENTATION = r"""
name: memory_graph_problems
short_description: What cannot work together in the arguments of the role memory_graph
version_added: 0.1.0
description: A sentence for each thing that is wrong in arguments that are each allowed and together cannot work.
author: [llm-devops (@llm-devops)]
options:
  _input:
    description:
      - The converted arguments of the role, by their names without C(memory_graph_), as
        M(llm_devops.memory_graph.role_arguments) has them in the variable C(role_arguments).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse what cannot work
  llm_devops.memory_graph.role_arguments:
    problems: __memory_graph_problems  # "{{ role_arguments | llm_devops.memory_graph.memory_graph_problems }}"
"""

RETURN = r"""
_value:
  description: The sentences; empty where nothing is wrong.
  type: list
  elements: str
"""

POSITIVE_COUNTS = (
    "neo4j_max_connections",
    "max_connections",
    "max_streams_per_connection",
    "max_message_bytes",
    "request_timeout_ms",
    "max_connection_age_s",
    "max_connection_age_grace_s",
    "plugin_timeout_ms",
    "drain_seconds",
    "feed_retention_commits",
    "feed_buffer_events",
    "telemetry_buffer_bytes",
    "telemetry_stream_bytes",
    "telemetry_patience_s",
    "telemetry_waiting_responses",
    "telemetry_waiting_s",
    "kafka_max_poll_records",
)
"""The service refuses these below 1 as well; a pod would start again and again."""
MAX_POLL_RECORDS = 10_000

Arguments = Mapping[str, Any]


def memory_graph_problems(arguments: Arguments) -> list[str]:
    """Return a sentence for each thing that is wrong."""
    checks = (_counts, _topics, _replicas, _neo4j, _kafka, _workers, _image, _tls, _plugins, _shutdown)
    return [problem for check in checks for problem in check(arguments)]


def _counts(of: Arguments) -> Iterator[str]:
    for name in POSITIVE_COUNTS:
        if of[name] < 1:
            yield f"memory_graph_{name} is {of[name]}: give 1 or more"
    if of["kafka_max_poll_records"] > MAX_POLL_RECORDS:
        yield (
            f"memory_graph_kafka_max_poll_records is {of['kafka_max_poll_records']}: give {MAX_POLL_RECORDS} or less"
        )
    stream, buffer = of["telemetry_stream_bytes"], of["telemetry_buffer_bytes"]
    if stream > buffer:
        yield (
            f"memory_graph_telemetry_stream_bytes is {stream}, more than all streams have together,"
            f" memory_graph_telemetry_buffer_bytes ({buffer}): raise the second or lower the first"
        )


def _topics(of: Arguments) -> Iterator[str]:
    if of["kafka_events_topic"] in [re.sub(" *=.*", "", topic) for topic in of["kafka_topics"]]:
        yield (
            f"memory_graph_kafka_events_topic {of['kafka_events_topic']} is one of memory_graph_kafka_topics: the"
            " workers would read their own change feed; take it out there, or name another"
        )


def _replicas(of: Arguments) -> Iterator[str]:
    replicas, max_replicas, embedded = of["replicas"], of["replicas_max"], of["store"] == "embedded"
    if embedded and replicas > 1:
        yield (
            f"memory_graph_replicas is {replicas}, but the embedded store has one writer: set it to 1 and give the pod"
            " more with memory_graph_resources, or let several share a database with memory_graph_store: neo4j"
        )
    if replicas < 1:
        yield (
            f"memory_graph_replicas is {replicas}, which serves nobody: set it to 1, or take the release away with the"
            " teardown playbook, which keeps the data"
        )
    if not embedded and max_replicas < replicas:
        yield (
            f"memory_graph_replicas is {replicas} and memory_graph_replicas_max {max_replicas}: the most cannot be less"
            " than the least, raise the second or lower the first"
        )


def _neo4j(of: Arguments) -> Iterator[str]:
    uri = of["neo4j_uri"]
    if of["store"] == "embedded":
        return
    if not NEO4J_URI.match(uri):
        yield (
            f"memory_graph_neo4j_uri is {without_credentials(uri)}: write it like neo4j://graph.example:7687,"
            " without user, password and path; user and password are in memory_graph_neo4j_secret"
        )
    if of["neo4j_ca_secret"] and "+s://" not in uri:
        yield (
            f"memory_graph_neo4j_ca_secret is set, but memory_graph_neo4j_uri {without_credentials(uri)} checks no"
            " certificate: write it with +s, as in neo4j+s://graph.example:7687"
        )


def _kafka(of: Arguments) -> Iterator[str]:
    if of["store"] == "embedded" and of["kafka_bootstrap_servers"]:
        yield (
            "memory_graph_kafka_bootstrap_servers names brokers, but memory_graph_store is embedded: workers write the"
            " graph too, and a file has one process; set memory_graph_store: neo4j"
        )
    if malformed := [
        without_credentials(broker) for broker in of["kafka_bootstrap_servers"] if not BROKER.match(broker)
    ]:
        yield (f"memory_graph_kafka_bootstrap_servers has {', '.join(malformed)}: write each like kafka-1.example:9092")
    if of["kafka_ca_secret"] and not of["kafka_security_protocol"].endswith("SSL"):
        yield (
            "memory_graph_kafka_ca_secret is set, but memory_graph_kafka_security_protocol is"
            f" {of['kafka_security_protocol']}, which checks no certificate: set it to SASL_SSL or SSL"
        )


def _workers(of: Arguments) -> Iterator[str]:
    if not 1 <= of["worker_replicas"] <= of["worker_replicas_max"]:
        yield (
            f"memory_graph_worker_replicas is {of['worker_replicas']} and memory_graph_worker_replicas_max"
            f" {of['worker_replicas_max']}: there must be one worker at least, and the most cannot be less than the"
            " least"
        )


def _image(of: Arguments) -> Iterator[str]:
    if not ContainerImage.parse(of["image"]).is_pinned:
        yield f"memory_graph_image {of['image']} {PIN}"


def _tls(of: Arguments) -> Iterator[str]:
    tls, client_auth = of["tls"], of["tls_client_auth"]
    values = {"tls.crt": of["tls_certificate"], "tls.key": of["tls_key"]}
    if client_auth:
        values["ca.crt"] = of["tls_client_ca"]
    if tls and not of["existing_secret"] and not all(values.values()):
        client_ca = " and memory_graph_tls_client_ca" if client_auth else ""
        yield (
            f"memory_graph_tls is on, but nothing gives {', '.join(values)}: set memory_graph_existing_secret to a"
            f" Secret that has them, or memory_graph_tls_certificate, memory_graph_tls_key{client_ca}"
        )
    if client_auth and not tls:
        yield (
            "memory_graph_tls_client_auth is on and memory_graph_tls is off: client certificates need TLS, set"
            " memory_graph_tls: true"
        )
    if client_auth and of["verify"] and not (of["verify_tls_certificate"] and of["verify_tls_key"]):
        yield (
            "memory_graph_tls_client_auth is on, but verification has no certificate to show: set"
            " memory_graph_verify_tls_certificate and memory_graph_verify_tls_key, or memory_graph_verify: false"
        )


def _plugins(of: Arguments) -> Iterator[str]:
    if of["plugins_source"] == "image" and not of["plugins_image"]:
        yield (
            "memory_graph_plugins_source is image, but memory_graph_plugins_image is empty: name the image that has"
            " /plugins"
        )


def _shutdown(of: Arguments) -> Iterator[str]:
    stop, grace = of["pre_stop_seconds"] + of["drain_seconds"], of["termination_grace_seconds"]
    if grace <= stop:
        yield (
            f"memory_graph_termination_grace_seconds is {grace}, but a pod takes up to {stop} seconds to stop"
            " (memory_graph_pre_stop_seconds + memory_graph_drain_seconds): raise the first or lower the others"
        )


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"memory_graph_problems": memory_graph_problems}
