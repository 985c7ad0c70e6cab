import pytest

CHECK = {"attributes": {"request": {"http": {"method": "GET", "path": "/open", "host": "shop.example"}}}}


def test_a_check_request_in_json_is_decided(listener):
    """With all that a decision holds."""
    decision = listener.request("POST", "/v1/decide", json=CHECK).json()
    assert len(decision.pop("decision_id")) == 20
    assert decision == {
        "revision": "000000000000",
        "effect": "allow",
        "reason": "allowed",
        "status": 200,
        "route": "/open",
        "policies": ["route.allow.rule"],
        "errors": [],
        "provider": None,
        "subject": None,
        "upstream_headers": {"set": {}, "remove": []},
        "www_authenticate": None,
    }


def test_it_counts_nowhere(listener):
    """Nobody was let in."""
    listener.request("POST", "/v1/decide", json=CHECK)
    assert "extauthz_decisions_total{" not in listener.request("GET", "/metrics").text


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"unknown": 1}', b'{"attributes": 1}', b"[" * 100_000])
def test_anything_else_is_refused(listener, content):
    """400 with an explanation, never a failure."""
    reply = listener.request("POST", "/v1/decide", content=content, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_type_that_pages_elsewhere_can_send_is_refused(listener, content_type):
    """Without a preflight they could ask in a visitor's name."""
    headers = {} if content_type is None else {"content-type": content_type}
    assert listener.request("POST", "/v1/decide", content=b"{}", headers=headers).status_code == 415
