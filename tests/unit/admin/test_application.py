import pytest


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/", "/v1"])
def test_there_is_nothing_else(listener, path):
    """No pages that load scripts from elsewhere."""
    assert listener.request("GET", path).status_code == 404


def test_without_the_api_only_probes_and_metrics_are_there(listener):
    """Where other machines may ask."""
    listener.serves_api = False
    assert listener.request("GET", "/v1/policy").status_code == 404
    assert listener.request("POST", "/v1/decide", json={}).status_code == 404
    assert [listener.request("GET", path).status_code for path in ("/livez", "/readyz", "/metrics")] == [200] * 3


def test_a_foreign_host_is_refused_where_browsers_may_be_led(listener):
    """On a loopback port; elsewhere any name will do."""
    headers = {"host": "rebound.example"}
    for path in ("/livez", "/readyz", "/metrics", "/v1/policy"):
        assert listener.request("GET", path, headers=headers).status_code == 421
    listener.checks_host = False
    assert listener.request("GET", "/readyz", headers=headers).status_code == 200
