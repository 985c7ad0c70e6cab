"""Known attacks on what stands between a request and its decision, through a real Envoy where it takes part.

Sources: CVE-2019-9901 and CVE-2021-29492 (Envoy, path normalisation), CVE-2021-32777 (repeated headers), the Envoy
documentation's security considerations of ext_authz, and the ways in which servers are known to read a path.
"""

from __future__ import annotations

import itertools
import re
import socket
import textwrap
import time
from collections.abc import Iterator
from urllib.parse import unquote

import grpc
import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from extauthz.model.decision import Reason
from tests.harness.case import CaseRequest, CaseSet, Proxy
from tests.harness.check_call import check_request
from tests.harness.engines import CHECK_METHOD
from tests.harness.front import EnvoyEngine
from tests.harness.http1 import request_bytes
from tests.harness.stand import Stand, envoy_or_skip
from tests.harness.tokens import Token

PROVIDER = '{issuer: "https://issuer.example", audiences: [shop], algorithms: [ES256], jwks: {file: corp.jwks.json}}'

GUARDED = f"""
version: 1
providers: {{corp: {PROVIDER}}}
routes:
  - {{name: admin, path: "/admin/**", allow: [{{subject: root}}]}}
  - {{name: rest, path: "/**", authentication: optional, allow: [{{anyone: true}}]}}
  - {{name: private, host: private.example, path: "/**", allow: [{{subject: root}}]}}
upstream_headers: {{set: {{x-user: "{{principal.subject}}", x-tenant-id: "{{claims.tenant}}"}}}}
"""


def remote_set(port: int) -> str:
    """A set whose keys are to be fetched at a port; two of its routes work without them."""
    return f"""
version: 1
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [ES256]
    jwks: {{uri: "http://127.0.0.1:{port}/jwks.json"}}
routes:
  - {{name: any, path: /any, allow: [{{authenticated: true}}]}}
  - {{name: optional, path: /optional, authentication: optional, allow: [{{anyone: true}}]}}
  - {{name: health, path: /health, public: true}}
"""


def case_set(policy: str, **proxy) -> CaseSet:
    return CaseSet("advisories", textwrap.dedent(policy), {}, {}, Proxy(**proxy), ())


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """A port that nobody listens at, and nobody else gets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture(scope="module")
def sets(closed_port) -> dict[str, CaseSet]:
    return {
        "raw": case_set(GUARDED, normalize=False, underscores=True, failure_mode_allow=True),
        "normalised": case_set(GUARDED),
        "closed": case_set(remote_set(closed_port), failure_mode_allow=True),
    }


@pytest.fixture(scope="module")
def stand(sets) -> Iterator[Stand]:
    with Stand(sets.values()) as stand:
        yield stand


@pytest.fixture
def envoy(stand) -> EnvoyEngine:
    return envoy_or_skip(stand)


# --- Paths and hosts -----------------------------------------------------------------------------------------------

DISGUISES = [
    "/admin",
    "/admin/",
    "/admin/users",
    "/%61dmin",
    "/%61%64%6d%69%6e/users",
    "/%2561dmin",
    "//admin",
    "/./admin",
    "/x/../admin",
    "/x/..//admin",
    "/x/%2e%2e/admin",
    "/x/.%2E/admin",
    "/x/%2e%2e%2fadmin",
    "/x/..%2fadmin",
    "/x/..%5cadmin",
    "/x\\..\\admin",
    "\\admin",
    "/%2fadmin",
    "/%5cadmin",
    "/x/..%252fadmin",
    "/x/..;/admin",
    "/;/admin",
    "/;x=1/admin",
    "/admin;x=1",
    "/admin;",
    "/admin%3bx=1",
    "/admin%00",
    "/admin%00.png",
    "/admin%20",
    "/admin%09",
    "/admin%0a",
    "/admin#/x",
    "/x#/../admin",
    "/admin?x",
    "/admin??",
    "/x%3f/../admin",
    "/x?/../admin",
    "/%c0%afadmin",
    "/%c0%ae%c0%ae/admin",
    "/%e0%80%afadmin",
    "/%uff0fadmin",
    "/x/%u002e%u002e/admin",
    "http://shop.example/admin",
    "http://shop.example//admin",
    "admin",
    "/x/../../../../admin",
    "/.//admin",
    "/..//admin",
    "/.../admin/../../admin",
    "/admin/.",
    "/admin/..;/admin",
]


def liberal_readings(target: str) -> set[str]:
    """Where servers may take a target to lead: decoded up to twice, parameters cut, slashes merged, dots resolved."""
    path = re.sub(r"^https?://[^/]*", "", target).partition("?")[0].partition("#")[0]
    readings = {path, unquote(path), unquote(unquote(path))}
    readings |= {re.sub(r";[^/]*", "", reading) for reading in readings}
    readings |= {reading.partition("\0")[0] for reading in readings}
    return {resolved(reading.replace("\\", "/")) for reading in readings}


def resolved(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in {"", "."}:
            kept.append(segment)
    return "/" + "/".join(kept)


def leads_to_admin(target: str) -> bool:
    return any(reading == "/admin" or reading.startswith("/admin/") for reading in liberal_readings(target))


@pytest.mark.envoy
@pytest.mark.parametrize("normalised", ["raw", "normalised"])
@pytest.mark.parametrize("target", DISGUISES)
def test_no_spelling_of_a_path_reaches_what_it_guards(envoy, stand, sets, target, normalised):
    """Whatever an anonymous caller writes, the upstream sees no path that any server could read as the guarded one."""
    site = stand.site(sets[normalised])
    answer = envoy.send(site, request_bytes("GET", target, "shop.example", []))
    assert answer.upstream is None or not leads_to_admin(answer.upstream.path), answer


@pytest.mark.envoy
def test_the_guarded_path_is_open_to_whom_it_is_meant_for(envoy, stand, sets):
    """The disguises fail because they are refused, not because nothing passes."""
    request = CaseRequest("/admin/users", token=Token({"sub": "root"}))
    for name in ("raw", "normalised"):
        answer = envoy.ask(stand.site(sets[name]), request)
        assert answer.upstream is not None
        assert leads_to_admin(answer.upstream.path)


@pytest.mark.envoy
@pytest.mark.parametrize("normalised", ["raw", "normalised"])
@pytest.mark.parametrize(
    "host",
    [
        "private.example",
        "PRIVATE.example",
        "private.example:80",
        "private.example.",
        "private.example.:80",
        "user@private.example",
        "private.example@shop.example",
        "private.example,shop.example",
        "shop.example,private.example",
        "private.example/x",
        "private.example\\x",
        "private.example#x",
        "private.example?x",
        "private.example:80:80",
        "[private.example]",
    ],
)
def test_no_spelling_of_a_host_reaches_what_it_guards(envoy, stand, sets, host, normalised):
    """A host that some server could read as the guarded one is refused, or owned by the guarded route."""
    answer = envoy.send(stand.site(sets[normalised]), request_bytes("GET", "/x", host, []))
    assert answer.upstream is None, answer
    assert answer.status in {400, 401}


@pytest.mark.envoy
@pytest.mark.parametrize("normalised", ["raw", "normalised"])
def test_neither_a_second_host_nor_an_absolute_target_chooses_another_route(envoy, stand, sets, normalised):
    """The host that was decided on is the one that the upstream sees."""
    site = stand.site(sets[normalised])
    twice = request_bytes("GET", "/x", "shop.example", [("host", "private.example")])
    absolute = request_bytes("GET", "http://private.example/x", "shop.example", [])
    for message in (twice, absolute):
        answer = envoy.send(site, message)
        assert answer.upstream is None, answer


@pytest.mark.envoy
def test_a_header_that_names_another_path_changes_nothing(envoy, stand, sets):
    """Only the request line says what the path is."""
    site = stand.site(sets["normalised"])
    for name in ("x-original-url", "x-rewrite-url", "x-envoy-original-path"):
        answer = envoy.ask(site, CaseRequest("/x", headers=((name, "/admin"),)))
        assert answer.told is not None
        assert answer.told.route == "rest"
        answer = envoy.ask(site, CaseRequest("/admin", headers=((name, "/x"),)))
        assert answer.upstream is None


# --- Headers -------------------------------------------------------------------------------------------------------


@pytest.mark.envoy
@pytest.mark.parametrize("normalised", ["raw", "normalised"])
@pytest.mark.parametrize("path", ["/admin/users", "/x"])
def test_two_authorization_headers_are_no_authentication(envoy, stand, sets, path, normalised):
    """Whichever of them a reader would take, in either order: the request is refused."""
    good = f"Bearer {Token({'sub': 'root'}).mint(_now())}"
    for first, second in itertools.permutations([good, "Bearer x.y.z"]):
        headers = [("authorization", first), ("authorization", second)]
        answer = envoy.send(stand.site(sets[normalised]), request_bytes("GET", path, "shop.example", headers))
        assert answer.status == 400, answer
        assert answer.told is not None
        assert answer.told.reason == Reason.CREDENTIALS_AMBIGUOUS


@pytest.mark.envoy
@pytest.mark.parametrize("normalised", ["raw", "normalised"])
@pytest.mark.parametrize("name", ["x-user", "x_user", "X-USER", "X_User", "x-tenant-id", "x_tenant-id", "x_tenant_id"])
def test_a_header_of_ours_cannot_be_smuggled(envoy, stand, sets, name, normalised):
    """In every spelling and however often: the upstream sees what was decided, or the request is refused."""
    token = f"Bearer {Token({'sub': 'alice'}).mint(_now())}"
    for credentials in ([], [("authorization", token)]):
        headers = [(name, "root"), (name, "root"), *credentials]
        answer = envoy.send(stand.site(sets[normalised]), request_bytes("GET", "/x", "shop.example", headers))
        if answer.upstream is None:
            assert answer.status == 400, "only the underscore is refused"
            assert "_" in name
            continue
        assert "root" not in str(answer.upstream.headers.values()), answer.upstream.headers


@pytest.mark.envoy
def test_bytes_that_are_no_text_are_decided_on(envoy, stand, sets):
    """A header value that is not UTF-8 is no way to make the decision fail, and so to pass."""
    message = request_bytes("GET", "/admin", "shop.example", [("x-odd", "\udcff\udcfe")])
    answer = envoy.send(stand.site(sets["raw"]), message)
    assert answer.status == 401
    assert answer.told is not None


# --- Could not decide ----------------------------------------------------------------------------------------------


@pytest.mark.envoy
def test_an_issuer_that_never_answers_opens_nothing():
    """The keys outlast the deadline: 503, although Envoy lets failures through; other routes work meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are taken, and never answered
        only = case_set(remote_set(silent.getsockname()[1]), failure_mode_allow=True)
        with Stand([only]) as stand:
            envoy, site = envoy_or_skip(stand), stand.site(only)
            assert '"failure_mode_allow": true' in envoy.envoy.get_admin("/config_dump")
            for path in ("/any", "/optional"):
                answer = envoy.ask(site, CaseRequest(path, token=Token({"sub": "alice"})))
                assert answer.upstream is None, answer
                assert answer.status == 503
                assert answer.told is not None
                assert answer.told.reason == Reason.DEADLINE_EXCEEDED
            assert envoy.ask(site, CaseRequest("/health", token=Token({"sub": "alice"}))).status == 200
            assert envoy.ask(site, CaseRequest("/optional")).status == 200


@pytest.mark.envoy
def test_an_issuer_that_cannot_be_reached_opens_nothing(envoy, stand, sets):
    """Keys that cannot be fetched: 503, although Envoy lets failures through."""
    answer = envoy.ask(stand.site(sets["closed"]), CaseRequest("/any", token=Token({"sub": "alice"})))
    assert answer.upstream is None, answer
    assert answer.status == 503
    assert answer.told is not None
    assert answer.told.reason == Reason.KEY_SET_UNAVAILABLE


@pytest.mark.envoy
def test_large_requests_open_nothing(envoy, stand, sets):
    """Headers and targets as large as Envoy takes, and larger: decided or refused, never let through."""
    site = stand.site(sets["raw"])
    for kilobytes in (50, 59, 70, 2_000):
        filler = "x" * (kilobytes * 1024)
        for message in (
            request_bytes("GET", "/admin", "shop.example", [("x-filler", filler)]),
            request_bytes("GET", "/admin", "shop.example", [("baggage", filler)]),
            request_bytes("GET", "/admin", "shop.example", [("authorization", f"Bearer {filler}")]),
            request_bytes("GET", f"/admin?{filler}", "shop.example", []),
        ):
            try:
                answer = envoy.send(site, message)
            except ConnectionError:
                continue  # Envoy closed the connection in the middle of the request
            assert answer.upstream is None
            assert answer.status in {401, 431}


@pytest.mark.envoy
def test_many_headers_open_nothing(envoy, stand, sets):
    """As many headers as Envoy takes, and more."""
    site = stand.site(sets["raw"])
    for count in (60, 90, 200):
        headers = [(f"x-{number}", "v") for number in range(count)]
        answer = envoy.send(site, request_bytes("GET", "/admin", "shop.example", headers))
        assert answer.upstream is None
        assert answer.status in {401, 431}


@pytest.mark.parametrize("megabytes", [4, 5, 80])
def test_a_message_beyond_the_limit_is_a_denial(stand, sets, megabytes):
    """Code 7 and 413, not an error of the call: a proxy that lets errors through must not let this through."""
    site = stand.site(sets["raw"])
    request = CaseRequest("/x", headers=(("x-filler", "x" * (megabytes * 1024 * 1024)),))
    message = check_request(request, Proxy(), _now(), with_body=False)
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(str(stand.services.address(site)), options=options) as channel:
        reply = channel.unary_unary(CHECK_METHOD)(message.SerializeToString(), timeout=10)
    response = CheckResponse.FromString(reply)
    assert response.status.code == 7
    assert response.denied_response.status.code == 413
    assert response.dynamic_metadata["reason"] == Reason.REQUEST_TOO_LARGE


def _now() -> float:
    return time.time()  # noqa: TID251 - tests have no app.py
