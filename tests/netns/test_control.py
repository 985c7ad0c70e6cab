"""A mesh with a control plane: services and certificates reach the sidecars, and change while they run."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.netns.namespaces import OUTSIDE, POD, pod_and_outside
from tests.netns.sidecars import application, mesh_pod, status

pytestmark = [pytest.mark.netns, pytest.mark.envoy]

FRONTEND, ORDERS = (f"spiffe://cluster.local/ns/shop/sa/{name}" for name in ("frontend", "orders"))
TOKENS = {"frontend": "f" * 64, "orders": "0" * 64}
PORT = 15012
ROOT = Path(__file__).parents[2]

POLICY = f"""
version: 1
name: orders
trust_domains: [cluster.local]
defaults: {{authentication: none}}
routes:
  - {{name: all, path: "/**", allow: [{{workload: "{FRONTEND}"}}]}}
  - {{name: health, path: /healthz, public: true}}
"""


def services(*endpoints):
    """The registry, with these instances."""
    return json.dumps({"services": {"orders": {"identities": [ORDERS], "endpoints": list(endpoints)}}})


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


@contextmanager
def control(namespace, folder):
    """`extauthz mesh control` in a namespace, with certificates that live for six seconds."""
    command = [
        *("ip", "netns", "exec", namespace.name, sys.executable, "-m", "extauthz", "mesh", "control"),
        *("--registry", str(folder / "services.yaml"), "--nodes", str(folder / "nodes.yaml")),
        *("--ca", str(folder / "ca"), "--listen", f"{OUTSIDE}:{PORT}", "--lifetime", "6s"),
    ]
    log = folder / "control.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 30
        while "extauthz mesh control at" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """Two pods that know nothing but the control plane, their tokens and its authority; the folder of all."""
    folder = tmp_path_factory.mktemp("mesh")
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "services.yaml").write_text(services(f"{POD}:8080"))
    nodes = [{"token_sha256": digest(TOKENS[name]), "identity": identity}
             for name, identity in (("frontend", FRONTEND), ("orders", ORDERS))]  # fmt: skip
    (folder / "nodes.yaml").write_text(json.dumps({"nodes": nodes}))
    for name, token in TOKENS.items():
        (folder / f"{name}.token").write_text(token)
    with ExitStack() as stack:
        callee, caller = stack.enter_context(pod_and_outside())
        stack.enter_context(application(callee))
        stack.enter_context(application(callee, 9090))
        init = ("--family", "4", "-d", f"15090,15021,15020,{PORT}")
        caller.mesh_init(*init)  # first: what is connected before would be cut
        log = stack.enter_context(control(caller, folder))
        words = ["--control", f"{OUTSIDE}:{PORT}", "--control-ca", str(folder / "ca" / "ca.pem"), "--control-token"]
        inbound = [str(folder / "policy.yaml"), "--mode", "native", *words, str(folder / "orders.token")]
        orders = stack.enter_context(mesh_pod(callee, POD, folder / "orders", *inbound, account="orders"))
        frontend = stack.enter_context(
            mesh_pod(
                *(caller, OUTSIDE, folder / "frontend", *words, str(folder / "frontend.token")),
                account="frontend",
                init=init,
            )
        )
        yield orders, frontend, folder, log


def get(frontend):
    """The status of a call to the service."""
    return status(frontend.namespace, POD, 80, "--header", "Host: orders")


def serials(pod):
    """The numbers of the certificates that a proxy has."""
    found = json.loads(pod.admin("/certs"))["certificates"]
    return {each["serial_number"] for entry in found for each in entry["cert_chain"]}


def await_true(condition):
    """Wait until it holds."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def identities(pod):
    """Whom the certificates name that a proxy has."""
    chains = [entry["cert_chain"] for entry in json.loads(pod.admin("/certs"))["certificates"]]
    return {name["uri"] for chain in chains for each in chain for name in each["subject_alt_names"]}


def test_services_and_certificates_come_from_the_control_plane(mesh):
    """A call passes both sidecars, and each has a certificate of the identity of its own token, and no other."""
    orders, frontend, _, log = mesh
    assert get(frontend) == 200
    assert (identities(orders), identities(frontend)) == ({ORDERS}, {FRONTEND})
    assert "update_rejected" not in log.read_text()


def test_envoy_decides_what_it_can(mesh):
    """In mode native: a public route without asking; who the workload is, the authorizer says."""
    orders, frontend, _, _ = mesh
    assert status(frontend.namespace, POD, 80, "--path", "/healthz", "--header", "Host: orders") == 200
    (line,) = (each for each in orders.lines(2) if each["path"] == "/healthz")
    assert "health" in line["native_policy"]
    assert line["reason"] is None


def test_instances_that_come_and_go_are_followed(mesh):
    """Without a restart: no instance is 503, another port is another instance."""
    _, frontend, folder, _ = mesh
    (folder / "services.yaml").write_text(services())
    await_true(lambda: get(frontend) == 503)
    (folder / "services.yaml").write_text("services: {orders: {tls: maybe}}")
    (folder / "services.yaml").write_text(services(f"{POD}:9090"))
    await_true(lambda: get(frontend) == 200)
    (folder / "services.yaml").write_text("{}")
    await_true(lambda: get(frontend) == 502)
    (folder / "services.yaml").write_text(services(f"{POD}:8080"))
    await_true(lambda: get(frontend) == 200)


def test_certificates_are_renewed_while_calls_go_on(mesh):
    """At half of their life; no call fails meanwhile."""
    orders, frontend, _, _ = mesh
    before = serials(orders)
    statuses = []

    def renewed():
        statuses.append(get(frontend))
        return not before & serials(orders)

    await_true(renewed)
    assert set(statuses) == {200}
