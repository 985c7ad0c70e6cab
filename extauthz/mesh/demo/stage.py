"""All that the demo's requests pass through, started in the order of a cluster: capture, control plane, sidecars.

outside   the control plane, an issuer of tokens, callers without a sidecar
frontend  the edge: takes clear text and wants a token; its calls have a policy of their own
orders    takes mutual TLS alone, from the frontend; two instances
batch     a workload that orders does not know
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from extauthz.mesh.capture import PROXY_ID
from extauthz.mesh.demo.network import OUTSIDE, Network, network
from extauthz.mesh.identity import workload_identity
from extauthz.mesh.local_http import get

PODS: Final = ("frontend", "orders", "batch")
PORT: Final = 8080
SECOND_PORT: Final = 8081
"""Of the other instance of orders."""
TRUST_DOMAIN: Final = "cluster.local"

_CONTROL_PORT: Final = 15012
_ISSUER_PORT: Final = 8090
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.05
_LOG_LINES: Final = 20


def identity_of(pod: str) -> str:
    """The SPIFFE ID of what runs in a pod."""
    return workload_identity(TRUST_DOMAIN, "demo", pod)


def orders_policy() -> str:
    """The callee's: the frontend may, and nobody else."""
    return f"""
version: 1
name: orders
trust_domains: [{TRUST_DOMAIN}]
defaults: {{authentication: none}}
routes:
  - {{name: orders, path: "/orders/**", allow: [{{name: frontend, workload: "{identity_of("frontend")}"}}]}}
  - {{name: audit, path: /audit, allow: [{{name: auditor, workload: "{identity_of("auditor")}"}}]}}
  - {{name: slow, path: /slow, allow: [{{name: frontend, workload: "{identity_of("frontend")}"}}]}}
"""


def edge_policy(issuer: str) -> str:
    """The edge's: whoever brings a token."""
    return f"""
version: 1
name: edge
providers:
  people:
    issuer: {issuer}
    audiences: [demo]
    algorithms: [ES256]
    jwks: {{uri: "{issuer}/jwks.json", allow_http: true}}
    claims: {{subject: sub}}
routes:
  - {{name: home, path: "/**", allow: [{{name: people, authenticated: true}}]}}
"""


OUTBOUND_POLICY: Final = """
version: 1
name: frontend-calls
defaults: {authentication: none}
deny:
  - {name: writing, when: "request.method != 'GET'"}
routes:
  - {name: read, path: "/**", allow: [{name: reading, anyone: true}]}
"""


def services(address: str) -> dict[str, Any]:
    """The registry: one application under three names, each with a limit of its own."""
    instance = {"identities": [identity_of("orders")], "endpoints": [f"{address}:{PORT}"]}
    return {
        "services": {
            "orders": instance,
            "limited": {**instance, "rate_limit": {"requests": 2, "per": "60s"}},
            "narrow": {**instance, "limits": {"connections": 1, "pending": 1}},
            "twins": {
                **instance,
                "endpoints": [f"{address}:{PORT}", f"{address}:{SECOND_PORT}"],
                "ejection": {"after": 2, "for": "60s", "at_most": 50},
            },
        }
    }


@dataclass
class Stage:
    """What runs."""

    network: Network
    folder: Path
    ready_seconds: float = 0.0
    _instances: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def access_log(self, pod: str) -> Path:
        """Of a pod's proxy, both sides."""
        return self.folder / pod / "access.log"

    def token(self, subject: str) -> str:
        """A token of the issuer."""
        claims = {"sub": subject, "aud": "demo"}
        address = TcpAddress(self.network.addresses[OUTSIDE], _ISSUER_PORT)
        return self.network.inside(OUTSIDE, lambda: _mint(address, claims))

    def crash(self, port: int) -> None:
        """Kill an instance of orders."""
        process = self._instances[port]
        process.kill()
        process.wait()

    def proxy_counter(self, pod: str, name: str) -> int:
        """A number that a pod's Envoy keeps."""
        admin = TcpAddress("127.0.0.1", 15000)
        text = self.network.inside(pod, lambda: get(admin, f"/stats?filter=^{name}$")).body.decode()
        return int(text.rpartition(":")[2] or 0)


@contextmanager
def running_stage(folder: Path) -> Iterator[Stage]:
    """All of it, around the block.

    Raises:
        EnvironmentUnfitError: something did not start; the message has the end of its log.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        stage = Stage(stack.enter_context(network(PODS)), folder)
        _write_files(stage)
        _Start(stage, stack).all()
        stage.ready_seconds = time.monotonic() - started
        yield stage


def _write_files(stage: Stage) -> None:
    folder, addresses = stage.folder, stage.network.addresses
    nodes = []
    for pod in PODS:
        (folder / pod).mkdir()
        token = secrets.token_hex(32)
        _write(folder / pod / "token", token)
        nodes.append({"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "identity": identity_of(pod)})
    _write(folder / "nodes.yaml", json.dumps({"nodes": nodes}))
    _write(folder / "services.yaml", json.dumps(services(addresses["orders"])))
    _write(folder / "orders.yaml", orders_policy())
    _write(folder / "edge.yaml", edge_policy(f"http://{addresses[OUTSIDE]}:{_ISSUER_PORT}"))
    _write(folder / "outbound.yaml", OUTBOUND_POLICY)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


class _Start:
    """Starts processes; each is ended when the stack is left."""

    def __init__(self, stage: Stage, stack: ExitStack) -> None:
        self._stage = stage
        self._stack = stack

    def all(self) -> None:
        """In order; what does not depend on each other, together."""
        stage = self._stage
        addresses, folder = stage.network.addresses, stage.folder
        captures = [self._spawn(f"init-{pod}", pod, "mesh", "init", "--family", "4") for pod in PODS]
        for name, capture in captures:
            if capture.wait(_START_SECONDS) != 0:
                raise EnvironmentUnfitError(f"{name} failed:\n{self._log_tail(name)}")
        for pod, port in (("frontend", PORT), ("batch", PORT), ("orders", PORT), ("orders", SECOND_PORT)):
            module = [sys.executable, "-m", "extauthz.mesh.demo.application", str(port)]
            _, process = self._run(f"application-{pod}-{port}", pod, module)
            if pod == "orders":
                stage._instances[port] = process  # noqa: SLF001 - the stage is made here
        control = f"{addresses[OUTSIDE]}:{_CONTROL_PORT}"
        waiting = [
            (*self._spawn("control", OUTSIDE, *_control_words(folder, control)), "extauthz mesh control at"),
            (*self._spawn("issuer", OUTSIDE, *_issuer_words(addresses[OUTSIDE])), "for development only"),
        ]
        for name, process, said in waiting:
            self._await(name, process, said)
        own = {
            "frontend": [
                *(str(folder / "edge.yaml"), "--mtls", "permissive"),
                *("--outbound-policy", str(folder / "outbound.yaml")),
            ],
            "orders": [str(folder / "orders.yaml")],
            "batch": [],
        }
        sidecars = [self._sidecar(pod, own[pod], control) for pod in PODS]
        for name, process in sidecars:
            self._await(name, process, "extauthz mesh sidecar ready")

    def _sidecar(self, pod: str, own: Sequence[str], control: str) -> tuple[str, subprocess.Popen[bytes]]:
        folder = self._stage.folder
        words = [
            *("mesh", "sidecar", *own, "--control", control, "--control-ca", str(folder / "ca" / "ca.pem")),
            *("--control-token", str(folder / pod / "token"), "--directory", str(folder / pod)),
            *("--access-log", str(self._stage.access_log(pod)), "--concurrency", "1", "--log-level", "error"),
        ]
        variables = {
            "POD_NAME": pod,
            "POD_NAMESPACE": "demo",
            "SERVICE_ACCOUNT": pod,
            "TRUST_DOMAIN": TRUST_DOMAIN,
            "INSTANCE_IP": self._stage.network.addresses[pod],
        }
        command = [sys.executable, "-m", "extauthz", *words]
        # Its group is what the capture leaves alone; its user may be anybody who can read this installation.
        return self._run(f"sidecar-{pod}", pod, command, variables=variables, group=PROXY_ID)

    def _spawn(self, name: str, pod: str, *words: str) -> tuple[str, subprocess.Popen[bytes]]:
        return self._run(name, pod, [sys.executable, "-m", "extauthz", *words])

    def _run(
        self,
        name: str,
        pod: str,
        command: Sequence[str],
        *,
        variables: Mapping[str, str] | None = None,
        group: int | None = None,
    ) -> tuple[str, subprocess.Popen[bytes]]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("EXTAUTHZ_", "ISTIO_"))}
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                self._stage.network.command(pod, *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**inherited, **(variables or {})},
                group=group,
                extra_groups=None if group is None else [],
                start_new_session=True,  # a Ctrl-C reaches us alone; we end them
            )
        self._stack.callback(_end, process)
        return name, process

    def _await(self, name: str, process: subprocess.Popen[bytes], said: str) -> None:
        """Wait until a process has said that it is ready."""
        deadline = time.monotonic() + _START_SECONDS
        while said not in self._log(name).read_text(errors="replace"):
            if process.poll() is not None:
                raise EnvironmentUnfitError(f"{name} ended with status {process.poll()}:\n{self._log_tail(name)}")
            if time.monotonic() > deadline:
                raise EnvironmentUnfitError(f"{name} is not ready after {_START_SECONDS} s:\n{self._log_tail(name)}")
            time.sleep(_POLL_SECONDS)

    def _log(self, name: str) -> Path:
        return self._stage.folder / f"{name}.log"

    def _log_tail(self, name: str) -> str:
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _mint(address: TcpAddress, claims: Mapping[str, object]) -> str:
    """What the issuer signs."""
    connection = HTTPConnection(address.host, address.port, timeout=_STOP_SECONDS)
    try:
        connection.request("POST", "/token?alg=ES256", json.dumps(claims))
        response = connection.getresponse()
        return str(json.loads(response.read())["access_token"])
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise EnvironmentUnfitError(f"no token from the issuer: {error!r}") from None
    finally:
        connection.close()


def _control_words(folder: Path, listen: str) -> list[str]:
    return [
        *("mesh", "control", "--registry", str(folder / "services.yaml"), "--nodes", str(folder / "nodes.yaml")),
        *("--ca", str(folder / "ca"), "--listen", listen, "--trust-domain", TRUST_DOMAIN),
    ]


def _issuer_words(address: str) -> list[str]:
    return ["demo", "serve-issuer", "--listen", f"{address}:{_ISSUER_PORT}"]


def _end(process: subprocess.Popen[bytes]) -> None:
    """At once: nobody waits for what the demo's requests have left."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
