from __future__ import annotations

import pytest

from extauthz.lowering.bootstrap import Enforcement
from extauthz.mesh.inbound import inbound_cluster, inbound_listener

SOCKET = {"name": "tls"}
FILTER = {"name": "policy"}


def listener(**changes):
    """With a policy, and mutual TLS alone."""
    wanted = {
        "address": "0.0.0.0",
        "accepting": SOCKET,
        "is_clear_text_taken": False,
        "is_transparent": False,
        "buffers_bodies": False,
        "access_log": None,
    }
    return inbound_listener(Enforcement([FILTER]), **{**wanted, **changes})


def chains(document):
    """The names of the chains, and what each matches."""
    return {each["name"]: each["filter_chain_match"] for each in document["filter_chains"]}


@pytest.mark.parametrize(
    ("accepting", "clear", "expected"),
    [(SOCKET, False, {"tls"}), (SOCKET, True, {"tls", "clear_text"}), (None, True, {"clear_text"})],
)
def test_what_is_served(accepting, clear, expected):
    """Nothing that was not asked for: a connection without a chain is closed, and no chain is the default one."""
    made = listener(accepting=accepting, is_clear_text_taken=clear)
    assert chains(made).keys() == {"black_hole", *expected}
    assert "default_filter_chain" not in made
    assert all(chains(made).values())


def test_every_chain_asks_the_policy():
    """Clear text no less than TLS, before the router."""
    made = listener(is_clear_text_taken=True)
    for chain in made["filter_chains"][1:]:
        http = chain["filters"][0]["typed_config"]
        assert [each["name"] for each in http["http_filters"]] == ["policy", "envoy.filters.http.router"]
        assert http["forward_client_cert_details"] == "SANITIZE_SET"


def test_streams_are_not_buffered():
    """Where the policy reads bodies, a gRPC route says that there is none to wait for."""
    http = listener(buffers_bodies=True)["filter_chains"][1]["filters"][0]["typed_config"]
    grpc, other = http["route_config"]["virtual_hosts"][0]["routes"]
    assert "typed_per_filter_config" in grpc
    assert "typed_per_filter_config" not in other


def test_a_transparent_sidecar_keeps_the_callers_address():
    """TPROXY: the listener takes connections as they are, and the application sees the client's address."""
    made = listener(is_transparent=True)
    assert made["transparent"] is True
    (source,) = (each for each in made["listener_filters"] if each["name"].endswith("original_src"))
    assert source["typed_config"]["mark"] == 1337
    assert "upstream_bind_config" not in inbound_cluster(is_transparent=True)
    assert inbound_cluster(is_transparent=False)["upstream_bind_config"]["source_address"]["address"] == "127.0.0.6"


def test_without_a_policy_nothing_is_asked():
    """The router alone."""
    made = inbound_listener(
        None,
        address="::",
        accepting=SOCKET,
        is_clear_text_taken=False,
        is_transparent=False,
        buffers_bodies=False,
        access_log="/log",
    )
    http = made["filter_chains"][1]["filters"][0]["typed_config"]
    assert [each["name"] for each in http["http_filters"]] == ["envoy.filters.http.router"]
    assert http["access_log"][0]["typed_config"]["path"] == "/log"
