"""compose.yaml with its profile `opa`: a real OPA has the last word on what the shop allows."""

import json
from urllib.request import Request, urlopen

import pytest

from tests.e2e.images import ROOT
from tests.e2e.proxy import UNAVAILABLE
from tests.e2e.stack import running_stack
from tests.harness.required import opa_or_skip

ENGINE = '{opa: {url: "http://opa:8181", path: shop/allow, allow_http: true, timeout_ms: 1000}}'

pytestmark = pytest.mark.opa


@pytest.fixture(scope="module")
def stack(client, environment, free_ports, images):
    """As a user brings it up who has exported ENGINE."""
    opa_or_skip()
    ports = dict(zip(("PROXY_PORT", "ISSUER_PORT"), map(str, free_ports), strict=True))
    told = {**environment, **ports, "COMPOSE_PROFILES": "opa", "ENGINE": ENGINE, "OPA_IMAGE": images.opa}
    with running_stack(client, ROOT / "compose.yaml", project="e2e-opa", environment=told) as running:
        yield running


@pytest.fixture(autouse=True)
def in_order(stack, proxy):
    """Every test finds OPA at work."""
    stack.wait("what is allowed passes", lambda: {proxy.get("/items") for _ in range(10)} == {200})


def bearer(stack, subject):
    body = json.dumps({"sub": subject, "aud": "shop", "roles": ["clerk"]}).encode()
    with urlopen(Request(f"http://127.0.0.1:{stack.port('issuer', 8081)}/token", body), timeout=10) as response:
        return {"authorization": f"Bearer {json.load(response)['access_token']}"}


def test_opa_denies_what_the_set_allows(stack, proxy):
    """It knows the verified caller, and the access log says who denied."""
    assert proxy.decided("/orders", bearer(stack, "alice")) == 200
    agent = {"user-agent": "blocked-by-opa"}
    assert proxy.decided("/orders", {**bearer(stack, "mallory"), **agent}) == 403

    def line():
        return [each for each in stack.json_lines("envoy") if each.get("user_agent") == agent["user-agent"]]

    (entry, *_) = stack.wait("a line of the access log", line)
    assert (entry["effect"], entry["reason"], entry["policies"]) == ("deny", "denied_by_engine", ["engine.opa"])


def test_the_table_comes_out_as_it_must(stack):
    """OPA allows everybody else what the set allows."""
    assert "all as expected" in stack.compose("run", "--rm", "demo").stdout


def test_without_opa_nothing_that_needs_it_passes(stack, proxy):
    """What the set denies by itself is still told as such; with OPA back, requests pass again."""
    opa = stack.container("opa")
    opa.stop(timeout=2)
    try:
        assert {proxy.get("/items") for _ in range(30)} == {UNAVAILABLE}
        assert proxy.get("/orders") == 401
        assert all(b"engine_trouble" in each.logs() for each in stack.containers("extauthz"))
    finally:
        opa.start()
    stack.wait("what is allowed passes", lambda: {proxy.get("/items") for _ in range(10)} == {200})


def test_a_changed_policy_of_opas_is_in_force(stack, proxy):
    """It is asked every time."""
    opa = stack.container("opa")
    status, output = opa.exec_run(["bash", "-c", _PUT])
    assert (status, b"HTTP/1.1 204" in output) == (0, True), output
    stack.wait("alice is blocked", lambda: proxy.get("/orders", bearer(stack, "alice")) == 403)
    opa.restart(timeout=2)


_PUT = r"""
exec 3<>/dev/tcp/127.0.0.1/8181
body='["alice"]'
printf 'PUT /v1/data/blocked HTTP/1.1\r\nhost: x\r\nconnection: close\r\n' >&3
printf 'content-length: %d\r\n\r\n%s' ${#body} "$body" >&3
cat <&3
"""
