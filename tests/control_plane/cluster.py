"""A control plane like kubeadm's, of processes on loopback: TLS, RBAC, aggregation, signing of certificates."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from .credentials import ClusterAuthority, key_pair
from .kubectl import KubectlRunner
from .processes import SupervisedProgram
from .programs import link

READY_TIMEOUT_S = 180.0
"""The limit for one program on a busy machine; all of them take 10 s on a quiet one."""
STAGES, STORAGE = (Path(__file__).with_name(name) for name in ("stages.yml", "storage.yml"))
SERVICES, PODS = "10.96.0.0/16", "10.244.0.0/16"
IN_CLUSTER = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
RATE_LIMITS = ("--kube-api-qps=200", "--kube-api-burst=400")
"""Above the default, with which a thousand pods would take a minute of throttled controllers."""


class LocalControlPlane:
    """etcd, API server, controller manager, scheduler and kwok, with their files in one folder."""

    def __init__(self, version: str, folder: Path) -> None:
        self.folder = folder
        self.bin = link(version, folder / "bin")
        self._ports = iter(_free_ports(4))
        etcd, self.api_server = self._etcd(), self._api_server()
        self.kubectl = KubectlRunner(self.bin / "kubectl", self.kubeconfig)
        self.programs = [etcd, self.api_server, self._controllers(), self._scheduler(), self._kwok()]

    def _etcd(self) -> SupervisedProgram:
        client, peer = (f"https://127.0.0.1:{next(self._ports)}" for _use in range(2))
        authority = ClusterAuthority(self.folder, "etcd-ca")
        server, self._etcd_client = authority.issue("etcd", "etcd"), authority.issue("etcd-client", "kube-apiserver")
        self._etcd_url = client
        trust = [f"--{side}trusted-ca-file={authority.certificate}" for side in ("", "peer-")]
        identity = [f"--{side}{kind}-file={file}" for side in ("", "peer-") for kind, file in _pair(server).items()]
        return SupervisedProgram(
            self.folder, "etcd", f"--data-dir={self.folder / 'etcd-data'}", "--unsafe-no-fsync",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
            "--client-cert-auth", "--peer-client-cert-auth", *trust, *identity,
        )  # fmt: skip

    def _api_server(self) -> SupervisedProgram:
        port = next(self._ports)
        self._authority = ClusterAuthority(self.folder, "ca")
        front = ClusterAuthority(self.folder, "front-proxy-ca")
        self._server = f"https://127.0.0.1:{port}"
        self.kubeconfig = self._authority.kubeconfig(self._server, "kubernetes-admin", "system:masters")
        self._signing, verifying = key_pair(self.folder, "service-accounts")
        serving = _pair(self._authority.issue("apiserver", "kube-apiserver", names=(*IN_CLUSTER, "localhost")))
        kubelet = _pair(self._authority.issue("kubelet-client", "kube-apiserver-kubelet-client", "system:masters"))
        etcd = _pair(self._etcd_client)
        proxy = _pair(front.issue("front-proxy-client", "front-proxy-client"))
        return SupervisedProgram(
            self.folder, "kube-apiserver", f"--secure-port={port}", "--bind-address=127.0.0.1",
            # No pod reaches it, and since 1.37 its endpoint may not be a loopback address.
            "--endpoint-reconciler-type=none", "--authorization-mode=Node,RBAC", "--allow-privileged=true",
            "--enable-admission-plugins=NodeRestriction", "--enable-bootstrap-token-auth=true",
            f"--client-ca-file={self._authority.certificate}", f"--service-cluster-ip-range={SERVICES}",
            f"--tls-cert-file={serving['cert']}", f"--tls-private-key-file={serving['key']}",
            f"--etcd-servers={self._etcd_url}", f"--etcd-cafile={self.folder / 'etcd-ca.crt'}",
            f"--etcd-certfile={etcd['cert']}", f"--etcd-keyfile={etcd['key']}",
            f"--kubelet-client-certificate={kubelet['cert']}", f"--kubelet-client-key={kubelet['key']}",
            f"--proxy-client-cert-file={proxy['cert']}", f"--proxy-client-key-file={proxy['key']}",
            f"--requestheader-client-ca-file={front.certificate}", "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={verifying}", f"--service-account-signing-key-file={self._signing}",
        )  # fmt: skip

    def _controllers(self) -> SupervisedProgram:
        authority, key = self._authority.certificate, self.folder / "ca.key"
        kubeconfig = self._authority.kubeconfig(self._server, "system:kube-controller-manager")
        return SupervisedProgram(
            self.folder, "kube-controller-manager", f"--kubeconfig={kubeconfig}", "--secure-port=0",
            "--controllers=*,bootstrapsigner,tokencleaner", "--use-service-account-credentials=true",
            "--allocate-node-cidrs=true", f"--cluster-cidr={PODS}", f"--service-cluster-ip-range={SERVICES}",
            f"--root-ca-file={authority}", f"--service-account-private-key-file={self._signing}",
            f"--cluster-signing-cert-file={authority}", f"--cluster-signing-key-file={key}", *RATE_LIMITS,
        )  # fmt: skip

    def _scheduler(self) -> SupervisedProgram:
        kubeconfig = self._authority.kubeconfig(self._server, "system:kube-scheduler")
        return SupervisedProgram(
            self.folder, "kube-scheduler", f"--kubeconfig={kubeconfig}", "--secure-port=0", *RATE_LIMITS
        )

    def _kwok(self) -> SupervisedProgram:
        kubeconfig = self._authority.kubeconfig(self._server, "kwok", "system:masters")
        return SupervisedProgram(
            self.folder, "kwok", f"--kubeconfig={kubeconfig}", f"--config={STAGES}", "--manage-all-nodes=true",
            "--node-ip=127.0.0.1", "--cidr=10.244.0.0/16", "--node-lease-duration-seconds=40",
        )  # fmt: skip

    def start(self) -> None:
        """Start the programs and return once everything is ready that a cluster of kubeadm has.

        :raises RuntimeError: when one of the programs ends, or is not ready in time.
        """
        etcd, api_server, *others = self.programs
        etcd.start()
        port = int(self._etcd_url.rpartition(":")[2])
        etcd.wait_until_ready(lambda: _listens(port), READY_TIMEOUT_S)
        api_server.start()
        readyz = ("get", "--raw=/readyz")
        api_server.wait_until_ready(lambda: self.kubectl.execute(*readyz).stdout == "ok", READY_TIMEOUT_S)
        for program in others:
            program.start()
        self.kubectl.apply([yaml.safe_load(STORAGE.read_text())])
        for lease in ("kube-controller-manager", "kube-scheduler"):
            self.kubectl.wait("create", "--namespace=kube-system", f"lease/{lease}")
        self.kubectl.wait("create", "--namespace=default", "serviceaccount/default")
        self.kubectl.wait("jsonpath={.rules[0]}", "clusterrole/admin")  # a controller fills the aggregated roles

    def stop(self) -> None:
        for program in reversed(self.programs):
            program.stop()


@contextmanager
def running(version: str, folder: Path) -> Iterator[LocalControlPlane]:
    """Run a control plane; it is ready inside and stopped at the end in any case."""
    control_plane = LocalControlPlane(version, folder)
    try:
        control_plane.start()
        yield control_plane
    finally:
        control_plane.stop()


def _pair(certificate: Path) -> dict[str, Path]:
    return {"cert": certificate, "key": certificate.with_suffix(".key")}


def _free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens, all bound at the same time so that no port comes twice."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _number in range(count)]
    ports = [int(bound.getsockname()[1]) for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
