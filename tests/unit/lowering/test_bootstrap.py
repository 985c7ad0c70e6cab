import json
import socket
import subprocess

import grpc
import httpx
import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from extauthz.demo.envoy import EmbeddedEnvoy, envoy_binary
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.lowering.bootstrap import authorizer_cluster, cluster, front_proxy, listener, snippet
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import render
from extauthz.lowering.ext_authz import check_filters
from tests.harness.process import serving

LOCAL = TcpAddress("127.0.0.1", 0)
SOCKET = UnixAddress("/run/extauthz.sock")


def allow(_):
    """A reply that allows."""
    reply = CheckResponse()
    reply.ok_response.SetInParent()
    return reply


@pytest.mark.envoy
@pytest.mark.parametrize("authorizer", [TcpAddress("::1", 9000), TcpAddress("authz.shop.svc", 9000), SOCKET])
def test_envoy_accepts_the_bootstrap(policy_set, tmp_path, authorizer):
    """The real binary validates what is generated for each kind of address."""
    file = tmp_path / "envoy.json"
    bootstrap = front_proxy(
        policy_set(owned_headers=("x-user",)), authorizer=authorizer, upstream=LOCAL, listen=LOCAL, admin=LOCAL
    )
    file.write_text(render(bootstrap))
    command = [envoy_binary(), "--mode", "validate", "-c", file]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_administration_interface_is_off_unless_asked_for(policy_set):
    """Whoever reaches it controls Envoy."""
    bootstrap = front_proxy(policy_set(), authorizer=SOCKET, upstream=LOCAL, listen=LOCAL)
    assert "admin" not in bootstrap


def test_a_snippet_has_the_three_parts_of_an_existing_configuration(policy_set):
    """Filters, the connection manager's fields they rely on, and the cluster they ask."""
    parts = snippet(policy_set(owned_headers=("x-user",)), authorizer=SOCKET)
    assert sorted(parts) == ["clusters", "http_connection_manager", "http_filters"]
    assert [f["name"] for f in parts["http_filters"]][-1] == "envoy.filters.http.ext_authz"
    assert parts["http_connection_manager"]["normalize_path"] is True
    assert parts["clusters"][0]["name"] == "extauthz"


def test_names_are_resolved_and_addresses_are_not(policy_set):
    """A STATIC cluster with a host name would not load, and DNS is not asked about an address."""
    assert cluster("c", TcpAddress("authz", 1))["type"] == "STRICT_DNS"
    assert cluster("c", TcpAddress("::1", 1))["type"] == "STATIC"
    assert cluster("c", SOCKET)["type"] == "STATIC"


def test_the_authorizer_is_never_sent_more_streams_than_it_has_said_it_takes():
    """A burst on a new connection would be refused, and each refused check is a failed request."""
    text = json.dumps(authorizer_cluster(SOCKET))
    assert '"http2_protocol_options": {"max_concurrent_streams": 128}' in text


@pytest.mark.envoy
def test_a_dead_replica_costs_a_few_requests(policy_set, tmp_path):
    """Every second one would be refused for as long as its address is known, as here, for ever."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nname: shop\nroutes:\n  - {name: open, path: /open, public: true}\n")
    with socket.socket() as dead, serving(policy) as service:
        dead.bind(("127.0.0.1", 0))  # and does not listen
        made = authorizer_cluster(service.address)
        endpoints = made["load_assignment"]["endpoints"][0]["lb_endpoints"]
        address = TcpAddress("127.0.0.1", dead.getsockname()[1]).to_envoy()
        endpoints.append({"endpoint": {"address": address}})
        routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
        front = listener("front", LOCAL, check_filters(policy_set()), connection_manager_fields(), routes=routes)
        bootstrap = {"static_resources": {"clusters": [made], "listeners": [front]}}
        with EmbeddedEnvoy(bootstrap, tmp_path) as envoy:
            url = f"http://{envoy.addresses['front']}/open"
            seen = [httpx.get(url, trust_env=False).status_code for _ in range(40)]
    assert set(seen) == {200, 503}
    assert seen[-20:] == [200] * 20


@pytest.mark.envoy
def test_grpc_goes_upstream_as_http2(policy_set, front):
    """The echo answers a gRPC call, on the same port that serves HTTP/1.1."""
    with (
        front(policy_set(), allow) as proxy,
        grpc.insecure_channel(str(proxy.address)) as channel,
    ):
        message = channel.unary_unary("/shop.Orders/Get")(b"", timeout=10)
        assert proxy.send()[0].status == 200
    assert json.loads(message)["path"] == "/shop.Orders/Get"
