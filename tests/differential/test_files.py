"""The compiled files, put into an Envoy configuration of somebody else's, and nothing else: no authorizer, too."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from extauthz.cli import run
from extauthz.demo.envoy import EmbeddedEnvoy, envoy_binary
from extauthz.demo.issuer import DevelopmentIssuer
from extauthz.demo.upstream import echo_upstream
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from tests.harness.async_host import AsyncHost
from tests.harness.required import skip_unless_required

pytestmark = pytest.mark.envoy

POLICY = """\
version: 1
name: shop
providers:
  corp:
    issuer: "{issuer}"
    audiences: [shop]
    algorithms: [ES256]
    jwks: {{uri: "{issuer}/jwks.json"}}
    claims: {{roles: roles, scopes: scope}}
roles:
  reader: {{permissions: ["orders:read"]}}
  editor: {{inherits: [reader], permissions: ["orders:write"]}}
deny: [{{name: suspended, when: "has(claims.suspended) && claims.suspended != false"}}]
upstream_headers: {{set: {{x-user: "{{principal.subject}}"}}}}
responses: {{realm: shop}}
routes:
  - {{name: health, path: /healthz, public: true}}
  - {{name: orders, path: /orders, methods: [GET], allow: [{{permission: "orders:read"}}]}}
  - name: own
    path: "/orders/{{id}}"
    allow: [{{role: editor}}, {{authenticated: true, when: "path.id == principal.subject"}}]
  - {{name: reports, path: "/reports/**", allow: [{{scope: reports.read}}]}}
  - {{name: greet, path: /hello, authentication: optional, allow: [{{anyone: true}}]}}
"""


class Front:
    """An Envoy with a configuration of its own, into which the files were put."""

    def __init__(self, address: TcpAddress, issuer: DevelopmentIssuer, *, reads_paths: bool) -> None:
        self.reads_paths = reads_paths
        """Whether a path that holds an escape is read, not refused."""
        self._address = address
        self._issuer = issuer

    def ask(self, path: str, claims: dict[str, Any] | None = None, method: str = "GET", **headers: str) -> Any:
        """Status, challenge, and what the upstream saw of the caller."""
        if claims is not None:
            token = self._issuer.mint(
                claims.pop("sub", "alice"),
                now=time.time(),  # noqa: TID251 - tests have no app.py
                audience=claims.pop("aud", "shop"),
                lifetime_seconds=claims.pop("lifetime", 600),
                algorithm="ES256",
                claims=claims,
            )
            headers["authorization"] = f"Bearer {token}"
        connection = HTTPConnection(self._address.host, self._address.port, timeout=10)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        user = json.loads(body)["headers"].get("x-user") if response.status == 200 else None
        return response.status, response.getheader("www-authenticate"), user


@pytest.fixture(scope="module", params=["envoy", "wasm"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Everything but an authorizer: with Envoy's own filters, with a module."""
    try:
        envoy_binary()
    except EnvironmentUnfitError as error:
        skip_unless_required("envoy", str(error))
    directory = tmp_path_factory.mktemp("files")
    with AsyncHost() as host, DevelopmentIssuer() as issuer:
        (directory / "policy.yaml").write_text(POLICY.format(issuer=issuer.url))
        output = directory / "compiled"
        arguments = ["compile", str(directory / "policy.yaml"), "--to", request.param, "-o", str(output)]
        assert run([*arguments, "--residual", "forbid"]) == 0
        with EmbeddedEnvoy(bootstrap_with(output, host.enter(echo_upstream)), directory) as envoy:
            address = envoy.addresses["mine"]
            assert isinstance(address, TcpAddress)
            yield Front(address, issuer, reads_paths=request.param == "wasm")


def bootstrap_with(compiled: Path, upstream: TcpAddress) -> dict[str, Any]:
    """Somebody's configuration, as little of it as there can be."""
    files = {name: json.loads((compiled / f"{name}.json").read_text()) for name in ("http_filters", "hcm", "clusters")}
    types = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        **files["hcm"],
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "mine",
        "route_config": {
            "virtual_hosts": [
                {"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "mine"}}]}
            ]
        },
        "http_filters": [
            *files["http_filters"],
            {"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}},
        ],
    }
    endpoint = {"endpoint": {"address": upstream.to_envoy()}}
    mine = {
        "name": "mine",
        "load_assignment": {"cluster_name": "mine", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {
        "name": "mine",
        "address": TcpAddress("127.0.0.1", 0).to_envoy(),
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [*files["clusters"], mine]}}


def test_public_routes_are_open_and_carry_no_identity(front: Front) -> None:
    """Whatever the client says it is."""
    assert front.ask("/healthz", x_user="root") == (200, None, None)
    assert front.ask("/hello", x_user="root") == (200, None, None)
    assert front.ask("/hello", {}, x_user="root") == (200, None, "alice")


def test_who_presents_nothing_is_told_so(front: Front) -> None:
    """On a route, on none, and for a method that has none."""
    for path, method in (("/orders", "GET"), ("/nowhere", "GET"), ("/orders", "DELETE")):
        assert front.ask(path, method=method) == (401, 'Bearer realm="shop"', None)


@pytest.mark.parametrize(
    "claims",
    [{"aud": "bakery"}, {"lifetime": -600}, {"roles": 3}, {"roles": ["a\0b"]}, {"iat": 4_000_000_000}],
    ids=str,
)
def test_a_token_that_is_not_to_be_believed_is_refused(front: Front, claims: dict[str, Any]) -> None:
    """Also one that Envoy alone would take, or would answer by 403."""
    challenge = 'Bearer realm="shop", error="invalid_token"'
    assert front.ask("/orders", dict(claims)) == (401, challenge, None)
    assert front.ask("/hello", dict(claims)) == (401, challenge, None)


def test_rules_decide(front: Front) -> None:
    """By role, by inheritance, by the path, by the set's deny."""
    assert front.ask("/orders", {"roles": ["reader"]}) == (200, None, "alice")
    assert front.ask("/orders", {"roles": "editor"}) == (200, None, "alice")
    assert front.ask("/orders", {"roles": ["other"]}) == (403, None, None)
    assert front.ask("/orders", {"roles": ["reader"], "suspended": True}) == (403, None, None)
    assert front.ask("/orders/alice", {}) == (200, None, "alice")
    assert front.ask("/orders/bob", {}) == (403, None, None)
    assert front.ask("/nowhere", {}) == (403, None, None)


def test_a_missing_scope_is_named(front: Front) -> None:
    """RFC 6750 section 3.1."""
    assert front.ask("/reports/2026/q3", {"scope": "a reports.read"})[0] == 200
    challenge = 'Bearer realm="shop", error="insufficient_scope", scope="reports.read"'
    assert front.ask("/reports/2026/q3", {"scope": "reports.readx"}) == (403, challenge, None)


def test_what_envoy_cannot_read_as_the_authorizer_would_is_refused(front: Front) -> None:
    """Nothing passes that is not plain."""
    for path in ("/orders/a%20b", "/healthz;x=1", "/hello/%2F"):
        is_read = front.reads_paths and path == "/orders/a%20b"
        assert front.ask(path, {"roles": ["editor"]})[0] == (200 if is_read else 400)
