# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""The documentation of the options by which the modules of this collection reach a cluster."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file, or its content as a dictionary. Several paths are separated as in E(KUBECONFIG).
      - Without it, E(KUBECONFIG), C(~/.kube/config) and the pod's ServiceAccount are tried in this order.
      - E(K8S_AUTH_KUBECONFIG) is the fallback.
    type: raw
  context:
    description: The kubeconfig context; by default its current one. E(K8S_AUTH_CONTEXT) is the fallback.
    type: str
  host:
    description: URL of the API server, which wins over the kubeconfig's. E(K8S_AUTH_HOST) is the fallback.
    type: str
  api_key:
    description: Bearer token, which wins over the kubeconfig's user. E(K8S_AUTH_API_KEY) is the fallback.
    type: str
  username:
    description:
      - User name for an authenticating proxy before the API server. E(K8S_AUTH_USERNAME) is the fallback.
      - Kubernetes itself takes no user name and password since version 1.19.
    type: str
  password:
    description: Password that goes with O(username). E(K8S_AUTH_PASSWORD) is the fallback.
    type: str
  validate_certs:
    description: Whether the API server's certificate is verified. E(K8S_AUTH_VERIFY_SSL) is the fallback.
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description: File with the CA certificates of the API server. E(K8S_AUTH_SSL_CA_CERT) is the fallback.
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description: File with the client certificate. E(K8S_AUTH_CERT_FILE) is the fallback.
    type: path
    aliases: [cert_file]
  client_key:
    description: File with the key of the client certificate. E(K8S_AUTH_KEY_FILE) is the fallback.
    type: path
    aliases: [key_file]
  proxy:
    description:
      - URL of an HTTP proxy, with its credentials where it wants some. SOCKS is not supported.
      - E(K8S_AUTH_PROXY) is the fallback, then the kubeconfig's C(proxy-url), then E(HTTPS_PROXY) and E(NO_PROXY).
    type: str
  no_proxy:
    description:
      - Host names, addresses and CIDR ranges reached without any proxy, comma-separated; it wins over E(NO_PROXY).
      - E(K8S_AUTH_NO_PROXY) is the fallback.
    type: str
  impersonate_user:
    description: User to impersonate, in place of the kubeconfig's C(as). E(K8S_AUTH_IMPERSONATE_USER) is the fallback.
    type: str
  impersonate_groups:
    description: Groups to impersonate along with O(impersonate_user). E(K8S_AUTH_IMPERSONATE_GROUPS) is the fallback.
    type: list
    elements: str
requirements:
  - python >= 3.11
  - urllib3 >= 2.3
  - PyYAML >= 6.0
"""
