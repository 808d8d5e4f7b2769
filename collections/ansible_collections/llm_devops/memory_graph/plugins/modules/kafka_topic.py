#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_topic
short_description: Make a Kafka topic so
version_added: 0.1.0
description:
  - Creates a topic, adds partitions to it, sets its settings, or deletes it.
  - C(changed) comes from what differs. A setting that is asked for and equals the broker's default is no difference,
    whether or not the topic has it as its own, and neither is another way to write the same number or list.
  - Settings that are not named are left as they are.
  - Kafka takes no partitions away, and a new replication factor moves records between brokers. Both are refused.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
options:
  name:
    description: Name of the topic.
    type: str
    required: true
  state:
    description: V(present) makes the topic so, V(absent) deletes it and its records.
    type: str
    choices: [present, absent]
    default: present
  partitions:
    description:
      - Number of partitions; without it a new topic gets the broker's default, and one that is there keeps what it has.
      - Where there are more partitions than before, records of a key may lie in another partition than those before
        them. The module warns of it.
    type: int
  replication_factor:
    description: Copies of each record; without it a new topic gets the broker's default.
    type: int
  configs:
    description:
      - Settings of the topic by Kafka's names (C(retention.ms)).
      - C(null) takes a setting of the topic away, so that the broker's default is in force.
    type: dict
    default: {}
  bootstrap_servers:
    description: Brokers to begin with, each C(host:port).
    type: list
    elements: str
    required: true
  security_protocol:
    description: How to speak with the brokers.
    type: str
    choices: [PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL]
    default: PLAINTEXT
  sasl_mechanism:
    description: How to log in. O(security_protocol=SASL_PLAINTEXT) and O(security_protocol=SASL_SSL) need it.
    type: str
    choices: [PLAIN, SCRAM-SHA-256, SCRAM-SHA-512]
  sasl_username:
    description: Who logs in.
    type: str
  sasl_password:
    description: The password of O(sasl_username).
    type: str
  kafka_ca_file:
    description: File with the CA certificates of the brokers; by default the system's.
    type: path
  namespace:
    description: Namespace of O(credentials_secret), and of the brokers that O(port_forward) leads to.
    type: str
  credentials_secret:
    description:
      - Secret with the keys C(username) and C(password), in place of O(sasl_username) and O(sasl_password), and with
        C(ca.crt) in place of O(kafka_ca_file) where it has it.
    type: str
  port_forward:
    description:
      - Whether the brokers run in the cluster and are reached through its API server. O(bootstrap_servers) are
        then named as inside the cluster, C(kafka:9092).
    type: bool
    default: false
  timeout:
    description: Seconds to connect, seconds each request may take, and seconds brokers may take to show a change.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description: Asks the brokers to validate what they would be asked to do.
  diff_mode:
    support: full
    description: Shows the partitions and settings that differ.
requirements:
  - kafka-python >= 3.0.12
  - websocket-client >= 1.7 (for O(port_forward))
"""

EXAMPLES = r"""
- name: A topic that keeps records for a week
  llm_devops.memory_graph.kafka_topic:
    bootstrap_servers: [kafka.example:9093]
    security_protocol: SASL_SSL
    sasl_mechanism: SCRAM-SHA-512
    namespace: llm-memory-graph
    credentials_secret: kafka-credentials
    name: llm-telemetry-events
    partitions: 12
    replication_factor: 3
    configs:
      retention.ms: 604800000
      min.insync.replicas: 2

- name: A topic of a broker in the cluster, with the broker's own retention
  llm_devops.memory_graph.kafka_topic:
    namespace: llm-memory-graph
    port_forward: true
    bootstrap_servers: [kafka:9092]
    name: llm.prompts.v1
    partitions: 12
    configs:
      retention.ms: null

- name: No such topic, and none of its records
  llm_devops.memory_graph.kafka_topic:
    bootstrap_servers: [kafka.example:9092]
    name: experiment
    state: absent
"""

RETURN = r"""
action:
  description: What was done, or would be in check mode - C(created), C(changed), C(deleted) or C(unchanged).
  returned: success
  type: str
topic:
  description: C(partitions), C(replication_factor) and the C(configs) of its own, as they are now.
  returned: when it is there
  type: dict
  sample: {partitions: 12, replication_factor: 3, configs: {retention.ms: "604800000"}}
report:
  description: Lines for a person, each a C(label) and a C(text).
  returned: success
  type: list
  elements: dict
"""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import missing_required_lib

from ..module_utils._ansible import ClusterModule, sentence
from ..module_utils._errors import ClusterError
from ..module_utils.backends import _kafka_admin
from ..module_utils.backends._access import secret_values
from ..module_utils.backends._kafka_admin import KafkaLogin, NoAnswer, open_topics
from ..module_utils.backends._kafka_topic import Topic, TopicPlan, TopicSpec, absent, await_shown, present, text
from ..module_utils.backends._pod_proxy import PodProxy
from ..module_utils.cluster import _port_forward
from ..module_utils.cluster._kubeconfig import yaml

SASL = ("SASL_PLAINTEXT", "SASL_SSL")
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "partitions": {"type": "int"},
    "replication_factor": {"type": "int"},
    "configs": {"type": "dict", "default": {}},
    "bootstrap_servers": {"type": "list", "elements": "str", "required": True},
    "security_protocol": {
        "type": "str",
        "choices": ["PLAINTEXT", "SSL", *SASL],
        "default": "PLAINTEXT",
    },
    "sasl_mechanism": {"type": "str", "choices": ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]},
    "sasl_username": {"type": "str"},
    "sasl_password": {"type": "str", "no_log": True},
    "kafka_ca_file": {"type": "path"},
    "namespace": {"type": "str"},
    "credentials_secret": {"type": "str", "no_log": False},
    "port_forward": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 30},
}


def login(module: ClusterModule) -> KafkaLogin:
    """Return the credentials from the options or from the Secret.

    Raises:
        ClusterError: when a required value is missing or cannot be read.
    """
    params = module.params
    protocol, logs_in = params["security_protocol"], params["security_protocol"] in SASL
    username, password, authority = params["sasl_username"], params["sasl_password"], None
    if params["kafka_ca_file"]:
        try:
            authority = Path(params["kafka_ca_file"]).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ClusterError(f"{params['kafka_ca_file']} cannot be read ({error})", "name a PEM file") from error
    if params["credentials_secret"]:
        required = ("username", "password") if logs_in else ()
        values = secret_values(module.connect(), params["namespace"], params["credentials_secret"], required)
        username, password = values.get("username"), values.get("password")
        authority = values.get("ca.crt", authority)
        module.no_log_values.update({password} if password else ())
    if logs_in and not (params["sasl_mechanism"] and username and password):
        raise ClusterError(
            f"security_protocol is {protocol}, which logs in",
            "give sasl_mechanism, and credentials_secret or sasl_username and sasl_password",
        )
    return KafkaLogin(protocol, params["sasl_mechanism"], username, password, authority)


def ensure(module: ClusterModule) -> tuple[TopicPlan, Topic | None]:
    """Make the topic as specified, and return the plan that was carried out and the topic as brokers show it then."""
    params = module.params
    configs = {key: text(value) for key, value in params["configs"].items()}
    topic_spec = TopicSpec(params["name"], params["partitions"], params["replication_factor"], configs)
    credentials = login(module)
    proxy = PodProxy(module.connect(), params["namespace"]) if params["port_forward"] else None
    try:
        with (
            proxy or nullcontext() as url,
            open_topics(params["bootstrap_servers"], credentials, params["timeout"], url) as topics,
        ):
            plan_for = partial(present, topic_spec) if params["state"] == "present" else absent
            live = topics.find(topic_spec.name)
            plan = plan_for(live)
            topics.carry_out(topic_spec, plan, check=module.check_mode)
            if plan.changed and not module.check_mode:
                live, pending = await_shown(lambda: topics.find(topic_spec.name), plan_for, params["timeout"])
                if pending.changed:
                    module.warn(f"the brokers took the change of topic {topic_spec.name} and do not show it all yet")
            return plan, live
    except NoAnswer as error:
        if proxy and proxy.error:
            address = ", ".join(params["bootstrap_servers"])
            raise ClusterError(f"Kafka at {address} is not reached through the cluster: {proxy.error}") from error
        raise


def document(side: Any) -> str:
    return str(yaml.safe_dump(dict(side), sort_keys=False)) if side else ""


@sentence
def main() -> None:
    module = ClusterModule(
        OPTIONS,
        supports_check_mode=True,
        required_by={"credentials_secret": ["namespace"]},
        required_if=[("port_forward", True, ["namespace"])],
        required_together=[("sasl_username", "sasl_password")],
        mutually_exclusive=[("credentials_secret", "sasl_username")],
    )
    if _kafka_admin.kafka is None:
        module.fail_json(msg=missing_required_lib("kafka-python"))
    if module.params["port_forward"] and _port_forward.websocket is None:
        module.fail_json(msg=missing_required_lib("websocket-client"))
    for option in ("partitions", "replication_factor", "timeout"):
        if module.params[option] is not None and module.params[option] < 1:
            module.refuse(ClusterError(f"{option} is {module.params[option]}", "give 1 or more"))
    try:
        plan, topic = ensure(module)
    except ClusterError as error:
        module.refuse(error)
    grown = plan.partitions is not None
    if grown:
        module.warn(
            f"topic {module.params['name']} has more partitions: records of a key may lie in another partition than "
            "those written before, and then their order is not kept"
        )
    action = next(
        word for word, is_so in (
            ("created", plan.create), ("deleted", plan.delete), ("changed", plan.changed), ("unchanged", True),
        ) if is_so
    )  # fmt: skip
    answer: dict[str, Any] = {
        "changed": plan.changed,
        "action": action,
        **({"topic": topic.as_dict()} if topic else {}),
    }
    verb = "would be " if module.check_mode else ""
    answer["report"] = [{"label": "topic", "text": f"{module.params['name']} {verb}{action}"}] if plan.changed else []
    if module._diff:
        header = f"topic {module.params['name']}"
        answer["diff"] = [
            {"before_header": header, "after_header": header, "before": document(plan.before),
             "after": document(plan.after)}
        ]  # fmt: skip
    module.done(**answer)


if __name__ == "__main__":
    main()
