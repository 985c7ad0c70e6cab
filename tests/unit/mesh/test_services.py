from __future__ import annotations

import pytest

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress
from extauthz.mesh.services import Hashed, RateLimit, load_registry, parse_registry, parse_seconds

ORDERS = "spiffe://cluster.local/ns/shop/sa/orders"
WHOLE = """
services:
  orders:
    hosts: [orders, orders.shop.svc.cluster.local]
    identities: [spiffe://cluster.local/ns/shop/sa/orders]
    endpoints: ["10.0.0.1:8080", "[fd00::1]:8080"]
    balancing: {ring_hash: {header: x-user}}
    limits: {connections: 1, pending: 2, requests: 3, retries: 0}
    ejection: {after: 2, for: 250ms, at_most: 100}
    retries: {attempts: 1, reasons: [5xx], per_try: 1s}
    timeout: 2m
    rate_limit: {requests: 5, per: 1.5s}
  legacy: {tls: none, balancing: least_request, ejection: null}
"""


def test_a_registry_is_read(tmp_path):
    """All of it, with its units."""
    file = tmp_path / "services.yaml"
    file.write_text(WHOLE)
    registry = load_registry(file)
    orders = registry.services["orders"]
    assert orders.endpoints == (TcpAddress("10.0.0.1", 8080), TcpAddress("fd00::1", 8080))
    assert isinstance(orders.balancing, Hashed)
    assert orders.timeout == 120.0
    assert orders.rate_limit == RateLimit.model_validate({"requests": 5, "per": "1.5s"})
    assert orders.ejection is not None
    assert orders.ejection.for_ == 0.25
    assert registry.hosts_of("legacy") == ("legacy",)
    assert registry.services["legacy"].ejection is None


def test_the_empty_registry(tmp_path):
    """A file without services knows nobody."""
    file = tmp_path / "services.yaml"
    file.write_text("")
    assert not load_registry(file).services


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({}, "say whom to believe|identities says whose certificate"),
        ({"tls": "none", "identities": [ORDERS]}, "identities says whose certificate"),
        ({"identities": ["orders"]}, "services.a.identities.0: 'orders' is no identity"),
        ({"tls": "none", "endpoints": ["orders:80"]}, "services.a.endpoints.0: 'orders:80' is no instance"),
        ({"tls": "none", "endpoints": ["10.0.0.1"]}, "'10.0.0.1' is no address"),
        ({"tls": "none", "endpoints": ["10.0.0.1:0"]}, "is no instance"),
        ({"tls": "none", "hosts": ["A"]}, "'A' is no host name"),
        ({"tls": "none", "hosts": ["a:80"]}, "'a:80' is no host name"),
        ({"tls": "none", "balancing": {"ring_hash": {"header": "X User"}}}, "is no name of a header"),
        ({"tls": "none", "balancing": "random"}, "services.a.balancing"),
        ({"tls": "none", "timeout": "15"}, "services.a.timeout: '15' is no duration"),
        ({"tls": "none", "timeout": "0s"}, "'0s' is no duration"),
        ({"tls": "none", "ejection": {"at_most": 101}}, "services.a.ejection.at_most"),
        ({"tls": "none", "retries": {"reasons": ["always"]}}, "services.a.retries.reasons"),
        ({"tls": "none", "rate_limit": {"per": "1s"}}, "services.a.rate_limit.requests"),
        ({"tls": "none", "rate_limit": {"requests": 1, "per": "10ms"}}, "services.a.rate_limit.per"),
        ({"tls": "none", "endpoint": []}, "services.a.endpoint: Extra inputs"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(service, said):
    """In one line, with all that is wrong."""
    with pytest.raises(ConfigurationError, match=said) as raised:
        parse_registry({"services": {"a": service}}, "services.yaml")
    assert str(raised.value).startswith("services.yaml: ")
    assert "\n" not in str(raised.value)


def test_a_host_belongs_to_one_service():
    """Whom a caller reaches must not depend on an order."""
    services = {"a": {"tls": "none", "hosts": ["x"]}, "x": {"tls": "none"}}
    with pytest.raises(ConfigurationError, match="the host x belongs to both a and x"):
        parse_registry({"services": services}, "services.yaml")


@pytest.mark.parametrize(
    ("text", "said"), [("[]", "expected a map"), ("a: [", "is no YAML"), ("a: 1\n---\nb: 1", "expected one document")]
)
def test_files_that_are_no_registry(tmp_path, text, said):
    """One line each, with the file's name."""
    file = tmp_path / "services.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        load_registry(file)
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_registry(tmp_path / "other.yaml")


@pytest.mark.parametrize(("text", "seconds"), [("250ms", 0.25), ("1.5s", 1.5), ("2m", 120.0)])
def test_durations(text, seconds):
    """With a unit, always."""
    assert parse_seconds(text) == seconds
