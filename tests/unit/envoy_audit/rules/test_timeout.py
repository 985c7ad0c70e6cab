import pytest

from tests.envoy_configurations import ext_authz, filters, found


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ("grpc_service: {timeout: 0s}", 1),
        ("grpc_service: {timeout: 0.000s}", 1),
        ("http_service: {server_uri: {timeout: 0s}}", 1),
        ("grpc_service: {timeout: 0.5s}", 0),
        ("grpc_service: {}", 0),
    ],
)
def test_waiting_must_end(fields, number):
    """By default it does, after 200 ms."""
    assert len(found("EAE305", filters(ext_authz(fields)))) == number
