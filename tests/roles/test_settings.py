"""The settings of the service that the role memory_graph sets, read from its files."""

from __future__ import annotations

import re

import yaml

from memory_graph.config import Settings

from .conftest import CHECKOUT

ROLE = CHECKOUT / "collections/ansible_collections/llm_devops/memory_graph/roles/memory_graph"
NEVER_IN_THE_CLEAR = {"NEO4J_PASSWORD", "KAFKA_SASL_PASSWORD"}
"""Files hold these: NEO4J_PASSWORD_FILE, KAFKA_SASL_PASSWORD_FILE."""


def test_every_setting_of_the_service_is_set_by_the_role() -> None:
    texts = [(ROLE / "vars/main" / name).read_text() for name in ("settings.yml", "workload.yml")]
    named = {word for text in texts for word in re.findall(r"\b[A-Z][A-Z0-9_]+\b", text)}
    assert {name.upper() for name in Settings.model_fields} - named == NEVER_IN_THE_CLEAR


def test_what_the_service_takes_by_default_is_what_the_role_gives() -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    shared = {
        name: field.default for name, field in Settings.model_fields.items() if f"memory_graph_{name}" in defaults
    }
    assert {"kafka_events_topic", "telemetry_waiting_s", "kafka_group", "max_connections"} <= shared.keys()
    for name in ("kafka_bootstrap_servers", "kafka_topics"):  # lists, which the service reads as text
        del shared[name]
    del shared["neo4j_uri"]  # the service has none to guess
    assert {name: defaults[f"memory_graph_{name}"] for name in shared} == shared
