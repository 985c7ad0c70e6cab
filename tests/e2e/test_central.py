"""One authorizer for two proxies, callers of two issuers, and a route of the proxy's that opts out."""

import json
from urllib.request import Request, urlopen

import grpc
import pytest

from extauthz.cli import run
from tests.e2e.images import ROOT
from tests.e2e.proxy import Proxy
from tests.e2e.stack import running_stack

STACKS = ROOT / "tests" / "e2e" / "stacks"
EXT_AUTHZ = "envoy.filters.http.ext_authz"
OPT_OUT = {
    "match": {"prefix": "/static/"},
    "route": {"cluster": "upstream"},
    "typed_per_filter_config": {
        EXT_AUTHZ: {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            "disabled": True,
        }
    },
}


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    """A folder with what `envoy config` prints, and a route in front that an operator has added."""
    folder = tmp_path_factory.mktemp("central") / "envoy"
    folder.mkdir()
    file = folder / "envoy.json"
    flags = ["--authz", "extauthz:9000", "--upstream", "upstream:8080", "--listen", "0.0.0.0:8080", "-o", str(file)]
    assert run(["envoy", "config", str(STACKS / "central" / "policy.yaml"), *flags]) == 0
    document = json.loads(file.read_text())
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["routes"].insert(0, OPT_OUT)
    file.write_text(json.dumps(document))
    for path in (folder.parent, folder, file):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture(scope="module")
def stack(client, environment, configuration):
    """The stack, ports chosen by Docker."""
    told = {**environment, "CONFIGURATION": str(configuration)}
    with running_stack(client, STACKS / "central.yaml", project="e2e-central", environment=told) as running:
        yield running


@pytest.fixture(params=["envoy-a", "envoy-b"])
def proxy(stack, request):
    """Each of the two."""
    return Proxy(stack.port(request.param, 8080))


def bearer(stack, issuer, **claims):
    """The header of a token of one of the issuers."""
    body = json.dumps({"sub": "alice", "aud": "shop", **claims}).encode()
    with urlopen(Request(f"http://127.0.0.1:{stack.port(issuer, 8081)}/token", body), timeout=10) as response:
        return {"authorization": f"Bearer {json.load(response)['access_token']}"}


def test_readers_of_both_issuers_read_through_both_proxies(stack, proxy):
    """And nobody without a token does."""
    assert proxy.decided("/orders") == 401
    for issuer in ("corp", "partner"):
        assert proxy.decided("/orders", bearer(stack, issuer, roles=["reader"])) == 200


def test_an_issuer_asserts_what_it_may(stack, proxy):
    """The partner calls somebody an admin, and nobody believes it."""
    assert proxy.decided("/admin/users", bearer(stack, "corp", roles=["admin"])) == 200
    assert proxy.decided("/admin/users", bearer(stack, "partner", roles=["admin", "reader"])) == 403


def test_an_issuer_signs_for_itself_alone(stack, proxy):
    """A token that names the other one is verified with the other one's keys."""
    forged = bearer(stack, "partner", iss="http://corp:8081", roles=["admin"])
    assert proxy.decided("/admin/users", forged) == 401


def test_a_route_that_opts_out_is_not_asked_about(stack, proxy):
    """It is forwarded as it is, but for the headers that the upstream trusts."""
    agent = f"static-{proxy.port}"
    assert proxy.decided("/static/logo", {"x_user": "root"}) == 400  # many upstreams read it as x-user
    status, body = proxy.fetch("/static/logo", {"x-user": "root", "user-agent": agent})
    assert (status, "x-user" in json.loads(body)["headers"]) == (200, False)

    def lines():
        logged = [*stack.json_lines("envoy-a"), *stack.json_lines("envoy-b")]
        return [line for line in logged if line["user_agent"] == agent]

    (line,) = stack.wait("the access log's line", lines)
    assert line["decision_id"] is None


@pytest.mark.parametrize(
    ("roles", "code"),
    [
        (None, grpc.StatusCode.UNAUTHENTICATED),
        ([], grpc.StatusCode.PERMISSION_DENIED),
        (["reader"], grpc.StatusCode.OK),
    ],
)
def test_grpc_callers_get_grpc_statuses(stack, proxy, roles, code):
    """A denial is a status of theirs, not an HTTP one."""
    metadata = [] if roles is None else list(bearer(stack, "corp", roles=roles).items())
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
        call = channel.unary_unary("/shop.Orders/Get")
        stack.wait("the status", lambda: call.future(b"", metadata=metadata, timeout=10).code() == code, seconds=5)
