#!/usr/bin/python
# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.

from __future__ import annotations

DOCUMENTATION = r"""
module: neo4j_schema
short_description: Bring a Neo4j to the schema of the memory graph
version_added: 0.1.0
description:
  - Logs in, reads which schema the database has, and applies the migrations that it lacks - constraints and indexes,
    whose statements can each be repeated.
  - The service does the same when it starts. Done beforehand, it may run as a user without the right to.
  - Several runs, and services that start, may do it at once on one database.
  - A database that holds the graph of another application, one of a newer schema, and one that a graph is being moved
    into are refused.
extends_documentation_fragment: [llm_devops.memory_graph.auth]
author: [llm-devops (@llm-devops)]
options:
  uri:
    description:
      - Address of the database, C(neo4j://db.example:7687); C(neo4j+s) and C(bolt+s) speak TLS and verify the
        certificate.
    type: str
    required: true
  database:
    description: Name of the database.
    type: str
    default: neo4j
  neo4j_username:
    description: Who logs in.
    type: str
  neo4j_password:
    description: The password of O(neo4j_username).
    type: str
  namespace:
    description: Namespace of O(credentials_secret) and O(ca_secret), and of the server that O(port_forward) leads to.
    type: str
  credentials_secret:
    description:
      - Secret with the keys C(username) and C(password), in place of O(neo4j_username) and O(neo4j_password).
      - Where it has C(ca.crt), the server's certificate is verified with that and not with the system's CAs.
    type: str
  ca_secret:
    description: Secret with the key C(ca.crt), as cert-manager makes it, in place of the one of O(credentials_secret).
    type: str
  port_forward:
    description:
      - Whether the server runs in the cluster and is reached through its API server. O(uri) is then named as inside
        the cluster, C(neo4j://neo4j:7687). A CA is verified, and the name in the certificate is not.
    type: bool
    default: false
  timeout:
    description:
      - Seconds to connect and to log in, and for which a statement is tried again that another run was in the way of.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description: Logs in, and lists what would be applied.
  diff_mode:
    support: full
    description: Shows the statements.
requirements:
  - neo4j >= 5.20
  - websocket-client >= 1.7 (for O(port_forward))
"""

EXAMPLES = r"""
- name: The schema, before the service starts
  llm_devops.memory_graph.neo4j_schema:
    uri: neo4j+s://db.example:7687
    namespace: llm-memory-graph
    credentials_secret: neo4j-credentials

- name: The same for a server in the cluster
  llm_devops.memory_graph.neo4j_schema:
    uri: neo4j://neo4j:7687
    port_forward: true
    namespace: llm-memory-graph
    credentials_secret: neo4j-credentials
"""

RETURN = r"""
version:
  description: The schema the database had.
  returned: success
  type: int
newest:
  description: The schema it has now, or would have.
  returned: success
  type: int
pending:
  description: The statements that were applied, or would be in check mode.
  returned: success
  type: list
  elements: str
report:
  description: Lines for a person, each a C(label) and a C(text).
  returned: success
  type: list
  elements: dict
"""

from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._ansible import ClusterModule, sentence
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends import _neo4j_schema
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._access import ready_pods, secret_values
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._neo4j_schema import (
    Neo4jDatabase,
    Neo4jLogin,
    SchemaStatus,
    migrate,
    open_session,
    schema_status,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster import _port_forward
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._port_forward import PortForward

OPTIONS: dict[str, dict[str, Any]] = {
    "uri": {"type": "str", "required": True},
    "database": {"type": "str", "default": "neo4j"},
    "neo4j_username": {"type": "str"},
    "neo4j_password": {"type": "str", "no_log": True},
    "namespace": {"type": "str"},
    "credentials_secret": {"type": "str", "no_log": False},
    "ca_secret": {"type": "str", "no_log": False},
    "port_forward": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 30},
}
BOLT_PORT = 7687


def credentials(module: ClusterModule) -> Neo4jLogin:
    """Return the credentials from the options or from the Secrets."""
    params, verify_host = module.params, not module.params["port_forward"]
    username, password, authority = params["neo4j_username"], params["neo4j_password"], None
    if params["credentials_secret"]:
        values = secret_values(
            module.connect(), params["namespace"], params["credentials_secret"], ("username", "password")
        )
        username, password, authority = values["username"], values["password"], values.get("ca.crt")
        module.no_log_values.add(password)
    if params["ca_secret"]:
        values = secret_values(module.connect(), params["namespace"], params["ca_secret"], ("ca.crt",))
        authority = values["ca.crt"]
    return Neo4jLogin(username, password, authority, verify_host)


def forwarded(module: ClusterModule) -> tuple[PortForward, str]:
    """Return a port-forward to a pod of the Service in the URI, and the scheme for it: one server without routing."""
    params = module.params
    url = urlsplit(params["uri"])
    service = (url.hostname or "").partition(".")[0]
    cluster = module.connect()
    pod = ready_pods(cluster, params["namespace"], service)[0]
    return PortForward(cluster, params["namespace"], pod, url.port or BOLT_PORT), url.scheme.replace("neo4j", "bolt")


def ensure_schema(module: ClusterModule) -> SchemaStatus:
    """Migrate the database to the newest schema, except in check mode, and return the schema it had."""
    params = module.params
    login = credentials(module)
    forward, scheme = forwarded(module) if params["port_forward"] else (None, "")
    try:
        with forward or nullcontext() as address:
            uri = f"{scheme}://{address}" if forward else params["uri"]
            with open_session(Neo4jDatabase(uri, params["database"]), login, params["timeout"]) as session:
                status = schema_status(session)
                if not module.check_mode:
                    migrate(session, status)
                return status
    except ClusterError as error:
        if forward is None:
            raise
        message = error.message.replace(f"{uri}", params["uri"])
        raise ClusterError(f"{message}: {forward.error}" if forward.error else message, error.way_out) from error


@sentence
def main() -> None:
    module = ClusterModule(
        OPTIONS,
        supports_check_mode=True,
        required_together=[("neo4j_username", "neo4j_password")],
        required_one_of=[("credentials_secret", "neo4j_username")],
        mutually_exclusive=[("credentials_secret", "neo4j_username")],
        required_by={"credentials_secret": ["namespace"], "ca_secret": ["namespace"]},
        required_if=[("port_forward", True, ["namespace"])],
    )
    if _neo4j_schema.neo4j is None:
        module.fail_json(msg=missing_required_lib("neo4j"))
    if module.params["port_forward"] and _port_forward.websocket is None:
        module.fail_json(msg=missing_required_lib("websocket-client"))
    if module.params["timeout"] < 1:
        module.refuse(ClusterError(f"timeout is {module.params['timeout']}", "give 1 or more"))
    try:
        status = ensure_schema(module)
    except ClusterError as error:
        module.refuse(error)
    verb = "would go" if module.check_mode else "went"
    text = f"database {module.params['database']} {verb} from schema {status.version} to {status.newest}"
    answer: dict[str, Any] = {
        "changed": bool(status.pending),
        "version": status.version,
        "newest": status.newest,
        "pending": status.pending,
        "report": [{"label": "schema", "text": text}] if status.pending else [],
    }
    if module._diff:
        header = f"schema of database {module.params['database']}"
        answer["diff"] = [
            {"before_header": header, "after_header": header, "before": "",
             "after": "".join(f"{statement}\n" for statement in status.pending)}
        ]  # fmt: skip
    module.done(**answer)


if __name__ == "__main__":
    main()
