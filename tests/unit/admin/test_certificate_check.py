import pytest

from extauthz.admin.application import Guards
from extauthz.admin.certificate_check import is_certified

PEM = "-----BEGIN CERTIFICATE-----"


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"extensions": None},
        {"extensions": {}},
        {"extensions": {"tls": None}},
        {"extensions": {"tls": {}}},
        {"extensions": {"tls": {"client_cert_chain": []}}},
        {"extensions": {"tls": {"client_cert_chain": (), "client_cert_name": "CN=operator"}}},
        {"headers": [(b"x-forwarded-client-cert", b"Hash=1")]},
    ],
)
def test_without_a_chain_nobody_is_certified(scope):
    """Whatever else is said."""
    assert not is_certified({"type": "http", **scope})


def test_a_chain_was_verified_in_the_handshake():
    """There is no other way into the scope."""
    assert is_certified({"type": "http", "extensions": {"tls": {"client_cert_chain": [PEM]}}})


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/policy", "/v1/openapi.json", "/v1/decide", "//v1/policy", "/V1", "/livez/", "/docs", "/"]
)
def test_all_but_probes_and_metrics_is_for_certified_callers(listener, path):
    """What is not named is refused, whether or not it is there."""
    listener.guards = Guards(checks_host=False, checks_certificate=True)
    reply = listener.request("GET", path)
    assert (reply.status_code, reply.text) == (403, "present a certificate of an authority in admin_client_ca\n")


def test_probes_and_metrics_are_for_anybody(listener):
    """A kubelet has no certificate."""
    listener.guards = Guards(checks_host=False, checks_certificate=True)
    assert [listener.request("GET", path).status_code for path in ("/livez", "/readyz", "/metrics")] == [200] * 3
