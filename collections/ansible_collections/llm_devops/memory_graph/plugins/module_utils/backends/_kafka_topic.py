# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A Kafka topic as it is and as it should be, the plan from one to the other, and the wait until brokers show it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import ClusterError


@dataclass(frozen=True)
class Setting:
    """A setting in force. ``is_own``: it is the topic's, and not a default of the broker. ``type``: Kafka's name."""

    value: str | None
    is_own: bool = False
    type: str = "STRING"


@dataclass(frozen=True)
class Topic:
    """A topic as it is."""

    partitions: int
    replication_factor: int
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        configs = {key: setting.value for key, setting in self.settings.items() if setting.is_own}
        return {"partitions": self.partitions, "replication_factor": self.replication_factor, "configs": configs}


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it should be; None is the broker's default, also of a setting."""

    name: str
    partitions: int | None = None
    replication_factor: int | None = None
    configs: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class TopicPlan:
    """The changes to a topic. ``create`` stands alone; ``before`` and ``after`` show the difference."""

    create: bool = False
    delete: bool = False
    partitions: int | None = None
    configs: Mapping[str, str | None] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.create or self.delete or self.partitions is not None or bool(self.configs)


def text(value: Any) -> str | None:
    """Return a setting as Kafka writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


_READ: Mapping[str, Callable[[str], Any]] = {
    "BOOLEAN": str.lower,
    "SHORT": int,
    "INT": int,
    "LONG": int,
    "DOUBLE": float,
    "LIST": lambda value: sorted(part.strip() for part in value.split(",")),
}


def same(setting: Setting, expected: str) -> bool:
    """Whether two texts mean the same value: ``0.50`` and ``0.5``, ``delete,compact`` and ``compact,delete``."""
    if setting.value is None:
        return False
    read = _READ.get(setting.type, str.strip)
    try:
        return bool(read(setting.value) == read(expected))
    except ValueError:  # the broker says what is wrong with it
        return False


def present(spec: TopicSpec, live: Topic | None) -> TopicPlan:
    """Return the plan that makes the topic as specified.

    Raises:
        ClusterError: when Kafka, or this module, does not change a topic so.
    """
    if live is None:
        after = {
            "partitions": spec.partitions, "replication_factor": spec.replication_factor,
            "configs": {key: value for key, value in spec.configs.items() if value is not None},
        }  # fmt: skip
        return TopicPlan(create=True, after={key: value for key, value in after.items() if value})
    _refuse(spec, live)
    grows = spec.partitions is not None and spec.partitions > live.partitions
    differs = {key: value for key, value in spec.configs.items() if _differs(live.settings.get(key), value)}
    before: dict[str, Any] = {"partitions": live.partitions} if grows else {}
    after = {"partitions": spec.partitions} if grows else {}
    if differs:
        before["configs"] = {key: _setting_text(live.settings.get(key)) for key in differs}
        after["configs"] = {key: "(the broker's default)" if value is None else value for key, value in differs.items()}
    return TopicPlan(partitions=spec.partitions if grows else None, configs=differs, before=before, after=after)


def absent(live: Topic | None) -> TopicPlan:
    """Return the plan that deletes the topic."""
    if live is None:
        return TopicPlan()
    return TopicPlan(
        delete=True, before={"partitions": live.partitions, "replication_factor": live.replication_factor}, after={}
    )


def await_shown(
    find: Callable[[], Topic | None],
    missing: Callable[[Topic | None], TopicPlan],
    seconds: float,
    interval_s: float = 0.05,
) -> tuple[Topic | None, TopicPlan]:
    """Return the topic once brokers show that nothing is pending, or after so many seconds; and the pending plan.

    The controller acknowledges a change when it has it; a broker, which is asked next, learns it a moment later
    (KIP-631).
    """
    end = time.monotonic() + seconds
    while True:
        live = find()
        pending = missing(live)
        if not pending.changed or time.monotonic() > end:
            return live, pending
        time.sleep(interval_s)


def _differs(setting: Setting | None, expected: str | None) -> bool:
    if expected is None:
        return setting is not None and setting.is_own
    return setting is None or not same(setting, expected)


def _setting_text(setting: Setting | None) -> str | None:
    if setting is None:
        return None
    return setting.value if setting.is_own else f"{setting.value} (the broker's default)"


def _refuse(spec: TopicSpec, live: Topic) -> None:
    if spec.partitions is not None and spec.partitions < live.partitions:
        raise ClusterError(
            f"topic {spec.name} has {live.partitions} partitions and {spec.partitions} are asked for: Kafka takes none "
            "away",
            f"ask for {live.partitions}, or delete the topic with its records (state: absent) and create it again",
        )
    if spec.replication_factor is not None and spec.replication_factor != live.replication_factor:
        raise ClusterError(
            f"topic {spec.name} has replication factor {live.replication_factor} and {spec.replication_factor} is "
            "asked for: changing it moves records between brokers, which this module does not do",
            f"ask for {live.replication_factor}, or move the replicas with kafka-reassign-partitions.sh",
        )
