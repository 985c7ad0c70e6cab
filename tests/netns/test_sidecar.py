"""Real requests through the sidecars of two pods: who gets in, who is refused, and what both sides see of it."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.harness.certificates import CertificateAuthority
from tests.netns.namespaces import APP, OUTSIDE, POD, PROXY, pod_and_outside
from tests.netns.sidecars import MeshPod, application, call, mesh_pod, status, write_certificates

pytestmark = [pytest.mark.netns, pytest.mark.envoy]

FRONTEND, ORDERS = (f"spiffe://cluster.local/ns/shop/sa/{name}" for name in ("frontend", "orders"))

POLICY = f"""
version: 1
name: orders
trust_domains: [cluster.local]
defaults: {{authentication: none}}
routes:
  - {{name: orders, path: "/orders/**", allow: [{{name: frontend, workload: "{FRONTEND}"}}]}}
  - {{name: audit, path: /audit, allow: [{{workload: "spiffe://cluster.local/ns/audit/**"}}]}}
"""
SERVICES = f"""
services:
  orders:
    hosts: [orders, orders.shop]
    identities: [{ORDERS}]
    endpoints: ["{POD}:8080"]
  impostor:
    identities: [spiffe://cluster.local/ns/shop/sa/somebody-else]
    endpoints: ["{POD}:8080"]
  limited:
    identities: [{ORDERS}]
    endpoints: ["{POD}:8080"]
    rate_limit: {{requests: 2, per: 60s}}
"""


@dataclass
class Mesh:
    """Two pods, and what is needed to start further sidecars in them."""

    orders: MeshPod
    frontend: MeshPod


def certificates_of(folder):
    """A folder for `--certs` of each of the two, under one authority."""
    authority = CertificateAuthority(folder, dt.datetime.now(dt.UTC))  # noqa: TID251 - they must be valid now
    identities = {"orders": ORDERS, "frontend": FRONTEND}
    return {
        name: str(write_certificates(authority, folder / f"{name}-certs", identity))
        for name, identity in identities.items()
    }


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """The callee with a policy, and the caller."""
    folder = tmp_path_factory.mktemp("mesh")
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "services.yaml").write_text(SERVICES)
    certificates = certificates_of(folder)
    with ExitStack() as stack:
        callee, caller = stack.enter_context(pod_and_outside())
        stack.enter_context(application(callee))
        inbound = [str(folder / "policy.yaml"), "--certs", certificates["orders"]]
        outbound = ["--certs", certificates["frontend"], "--services", str(folder / "services.yaml")]
        orders = mesh_pod(callee, POD, folder / "orders", *inbound, account="orders")
        frontend = mesh_pod(caller, OUTSIDE, folder / "frontend", *outbound, account="frontend")
        yield Mesh(stack.enter_context(orders), stack.enter_context(frontend))


TALK = """
import socket, sys
said = b""
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as connection:
    connection.sendall(bytes.fromhex(sys.argv[3]))
    try:
        said = connection.recv(999)
    except ConnectionResetError:
        pass
sys.stdout.buffer.write(said)
"""


def say(namespace, host, port, first):
    """What comes back for these bytes, until the connection is closed."""
    return namespace.run(sys.executable, "-c", TALK, host, str(port), first.hex()).stdout.encode()


def client_hello(*protocols):
    """How a client begins that speaks TLS and offers these protocols inside of it."""
    context, sent = ssl.create_default_context(), ssl.MemoryBIO()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="other.example").do_handshake()
    return sent.read()


def await_true(condition):
    """Wait until it holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def get(mesh, host, path="/orders/1", *headers, port=80):
    """The status of a call of the frontend's application, which names a host and dials the other pod."""
    words = [word for header in (f"Host: {host}", *headers) for word in ("--header", header)]
    return status(mesh.frontend.namespace, POD, port, "--path", path, *words)


def test_a_workload_is_let_in_by_its_certificate(mesh):
    """The application sees the request, from the address of the last hop, and who the peer is; both sides log it."""
    words = ("--path", "/orders/1", "--header", "Host: orders.shop")
    (answer,) = call(mesh.frontend.namespace, POD, 80, *words)
    seen = json.loads(answer["body"])
    assert (answer["status"], seen["peer"], seen["at"]) == (200, "127.0.0.6", 8080)
    assert f"URI={FRONTEND}" in seen["headers"]["x-forwarded-client-cert"]
    line = next(each for each in mesh.orders.lines(1) if each["status"] == 200)
    assert (line["direction"], line["peer_identity"]) == ("inbound", FRONTEND)
    assert (line["reason"], line["policies"]) == ("allowed", ["orders.allow.frontend"])
    assert mesh.frontend.lines(1)[0]["direction"] == "outbound"


def test_another_workload_is_denied(mesh):
    """An identity that no rule names is 403, whatever it says of itself."""
    assert get(mesh, "orders", "/audit") == 403
    assert get(mesh, "orders", "/audit", "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/audit/sa/a") == 403


def test_clear_text_is_refused(mesh):
    """Past the caller's sidecar there is no certificate, and no answer, whatever the path."""
    assert status(mesh.frontend.namespace, POD, 8080, "--path", "/orders/1", uid=PROXY) is None


def test_an_instance_must_be_who_it_should_be(mesh):
    """A service whose instance shows another identity is not called."""
    assert get(mesh, "impostor") == 503
    stats = mesh.frontend.admin("/stats?filter=cluster.service_impostor.ssl.fail_verify_san")
    assert int(stats.rpartition(": ")[2]) > 0


def test_a_host_that_is_no_service_is_refused(mesh):
    """By name; and what is not HTTP is closed without reaching anybody."""
    assert get(mesh, "elsewhere") == 502
    assert say(mesh.frontend.namespace, POD, 8080, b"HELO") == b""


def test_calls_above_the_limit_are_refused_by_the_caller(mesh):
    """The service's bucket holds two calls; others' calls do not count."""
    assert [get(mesh, "limited") for _ in range(4)] == [200, 200, 429, 429]
    assert get(mesh, "orders") == 200


def test_ports_that_are_not_captured(mesh):
    """Health, metrics and the status port answer anybody; administration and the capture's own ports do not."""
    asking = mesh.frontend.namespace
    assert status(asking, POD, 15021, "--path", "/healthz/ready", uid=PROXY) == 200
    assert status(asking, POD, 15020, "--path", "/healthz/ready", uid=PROXY) == 200
    (scraped,) = call(asking, POD, 15020, "--path", "/stats/prometheus", uid=PROXY)
    assert "envoy_cluster_upstream_rq" in scraped["body"]
    assert "extauthz_policy_info" in scraped["body"]
    (own,) = call(asking, POD, 15090, "--path", "/stats/prometheus", uid=PROXY)
    assert own["status"] == 200
    assert status(asking, POD, 15090, "--path", "/quitquitquit", uid=PROXY) == 404
    for port in (15000, 15001, 15006):
        assert status(asking, POD, port, uid=PROXY) is None


def test_a_transparent_sidecar_that_takes_clear_text(tmp_path):
    """TPROXY: the application sees the client's own address; kubelets ask it through the sidecar, whoever they are."""
    probes = {
        "/app-health/app/readyz": {"httpGet": {"path": "/ready", "port": 8080}},
        "/app-health/app/livez": {"httpGet": {"path": "/status/500", "port": 8080}},
    }
    variables = {
        "ISTIO_META_INTERCEPTION_MODE": "TPROXY",
        "ISTIO_META_DNS_CAPTURE": "true",
        "ISTIO_KUBE_APP_PROBERS": json.dumps(probes),
    }
    certificates = certificates_of(tmp_path)
    init = ("--family", "4", "-m", "TPROXY", "--redirect-dns", "--capture-all-dns")
    flags = ["--mtls", "permissive", "--certs", certificates["orders"], "--unknown", "pass"]
    with ExitStack() as stack:
        pod, outside = stack.enter_context(pod_and_outside())
        stack.enter_context(application(pod))
        orders = mesh_pod(pod, POD, tmp_path / "orders", *flags, account="orders", variables=variables, init=init)
        running = stack.enter_context(orders)
        (answer,) = call(outside, POD, 8080)
        seen = json.loads(answer["body"])
        assert (seen["peer"], "x-forwarded-client-cert" in seen["headers"]) == (OUTSIDE, False)
        assert status(outside, POD, 15020, "--path", "/app-health/app/readyz") == 200
        assert status(outside, POD, 15020, "--path", "/app-health/app/livez") == 500
        assert status(outside, POD, 15020, "--path", "/app-health/app/startupz") == 404
        stack.enter_context(outside.serving("0.0.0.0", "--tcp", "8443", uid=APP))
        for number, first in enumerate([b"HELO", client_hello("h2", "http/1.1"), client_hello()], 1):
            assert b"HTTP/1.1 400" not in say(pod, OUTSIDE, 8443, first)
            await_true(lambda n=number: f"upstream_cx_total: {n}" in running.admin("/stats?filter=cluster.passthrough"))


def test_a_changed_policy_is_enforced(mesh):
    """By the authorizer at once, and Envoy takes the new listeners; a broken policy leaves the last good one."""
    policy = mesh.orders.folder.parent / "policy.yaml"
    assert get(mesh, "orders", "/new") == 401
    policy.write_text(f"{POLICY}  - {{name: new, path: /new, public: true}}\n")
    await_true(lambda: get(mesh, "orders", "/new") == 200)
    await_true(
        lambda: "lds.update_success: 2" in mesh.orders.admin("/stats?filter=listener_manager.lds.update_success")
    )
    policy.write_text("version: 1\nroutes: 1\n")
    await_true(lambda: "policy_load_failed" in (mesh.orders.folder / "sidecar.log").read_text())
    assert (get(mesh, "orders", "/new"), get(mesh, "orders"), get(mesh, "orders", "/audit")) == (200, 200, 403)
