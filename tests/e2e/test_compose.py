import json
import ssl
import subprocess
import sys

from extauthz.demo.table import requests_of
from tests.e2e.images import ROOT
from tests.e2e.proxy import Proxy

_CONNECT = """
import socket, ssl, sys
context = ssl.create_default_context(cafile="/etc/certificates/ca.pem")
for name in sys.argv[1:]:
    context.load_cert_chain(f"/etc/certificates/{name}.pem", f"/etc/certificates/{name}.key")
context.set_alpn_protocols(["h2"])
with socket.create_connection(("extauthz", 9000), 5) as plain:
    with context.wrap_socket(plain, server_hostname="extauthz") as connection:
        connection.send(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes(3) + b"\\x04" + bytes(5))
        assert connection.recv(9)  # in TLS 1.3 the server's refusal comes after the client's handshake
"""


def test_every_service_is_up_and_healthy(stack):
    """Two replicas of the authorizer, one of each of the others, and the certificates are made."""
    services = sorted((each.labels["com.docker.compose.service"], each.status) for each in stack.containers())
    running = ["envoy", "extauthz", "extauthz", "issuer", "upstream"]
    assert services == [("certificates", "exited"), *((service, "running") for service in running)]


def test_the_table_comes_out_as_it_must(stack):
    """`docker compose run --rm demo` exits 0, as the file's head says."""
    done = stack.compose("run", "--rm", "demo")
    assert f"{len(requests_of('shop'))} requests, all as expected\n" in done.stdout


def test_the_table_can_be_sent_from_this_machine(stack, authority):
    """`extauthz demo --against` from outside the containers."""
    proxy, issuer = f"https://localhost:{stack.port('envoy', 8443)}", f"http://localhost:{stack.port('issuer', 8081)}"
    flags = ["--against", proxy, "--ca", str(authority), "--issuer", issuer, "--format", "json"]
    command = [sys.executable, "-m", "extauthz", "demo", *flags]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_both_replicas_decide(stack, proxy):
    """Envoy balances over every address of the name; each decision is in the log of the replica that made it."""
    assert {proxy.decided("/items") for _ in range(20)} == {200}

    def decided():
        return all('"items"' in each.logs().decode() for each in stack.containers("extauthz"))

    stack.wait("a decision of each replica", decided)


def test_the_access_log_names_the_decision(stack, proxy):
    """Envoy's own log says why, from the metadata of the decision."""
    agent = {"user-agent": "access-log-test"}
    assert proxy.decided("/items", agent) == 200

    def line():
        return [each for each in stack.json_lines("envoy") if each.get("user_agent") == agent["user-agent"]]

    (entry,) = stack.wait("a line of the access log", line)
    assert (entry["effect"], entry["reason"], entry["route"]) == ("allow", "allowed", "items")


def test_clients_are_served_over_tls_alone(stack, proxy):
    """Clear text gets no answer, and no authority but the stack's own vouches for the certificate."""
    assert proxy.decided("/healthz") == 200
    assert Proxy(proxy.port).get("/healthz") is None
    assert Proxy(proxy.port, ssl.create_default_context()).get("/healthz") is None


def test_nobody_but_the_proxy_asks_the_authorizer(stack, authority):
    """Who shows no certificate of the stack's is turned away in the handshake."""
    (authorizer, *_) = stack.containers("extauthz")
    assert authorizer.exec_run(["python3", "-c", _CONNECT, "envoy"])[0] == 0
    status, output = authorizer.exec_run(["python3", "-c", _CONNECT])
    assert (status, b"CERTIFICATE_REQUIRED" in output) == (1, True), output
