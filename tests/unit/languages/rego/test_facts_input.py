from types import MappingProxyType

import pytest

from extauthz.languages.rego.facts_input import FactsInput
from extauthz.languages.rego.input_document import InputRefusedError
from extauthz.model.access import Principal, RoleHolding
from tests.strategies import Request, make_facts

CALLER = Principal(
    authenticated=True,
    subject="alice",
    provider="corp",
    groups=("staff",),
    scopes=("orders.read",),
    claims=MappingProxyType({"sub": "alice", "n": 1.5, "list": ("a", MappingProxyType({"b": None}))}),
)
REQUEST = Request(
    method="POST",
    target="/orders/a%20b?x=1&x=2",
    headers={"content-type": ("application/json",), "x-tag": ("a", "b"), "x-raw": ("\udcff",)},
    body=b'{"n": 1}',
    peer_identity="spiffe://cluster.local/ns/shop",
    context_extensions={"k": "v"},
    received_at=1_800_000_000.25,
)


ROLES = RoleHolding(frozenset({"b", "a"}))
PRINCIPAL_PARTS = ("authenticated", "subject", "provider", "roles", "groups", "scopes")


def whole(request=REQUEST, principal=CALLER, roles=ROLES, **path):
    return FactsInput([()]).make(make_facts(request, principal, roles, **path))


def test_the_whole_document():
    """What users of opa-envoy-plugin know, and the caller besides."""
    assert whole(order="a b") == {
        "attributes": {
            "source": {
                "address": {"socketAddress": {"address": "192.0.2.1", "portValue": 40000}},
                "principal": "spiffe://cluster.local/ns/shop",
            },
            "destination": {"address": {"socketAddress": {"address": "198.51.100.1", "portValue": 443}}},
            "request": {
                "time": {"seconds": 1_800_000_000, "nanos": 250_000_000},
                "http": {
                    "method": "POST",
                    "path": "/orders/a%20b?x=1&x=2",
                    "host": "shop.example",
                    "scheme": "https",
                    "protocol": "HTTP/1.1",
                    "headers": {
                        ":authority": "shop.example",
                        ":method": "POST",
                        ":path": "/orders/a%20b?x=1&x=2",
                        ":scheme": "https",
                        "content-type": "application/json",
                        "x-tag": "a,b",
                        "x-raw": "!",
                    },
                    "body": '{"n": 1}',
                    "rawBody": "eyJuIjogMX0=",
                },
            },
            "contextExtensions": {"k": "v"},
        },
        "parsed_path": ["orders", "a b"],
        "parsed_query": {"x": ["1", "2"]},
        "parsed_body": {"n": 1},
        "truncated_body": False,
        "version": {"ext_authz": "v3", "encoding": "protojson"},
        "source_principal": "spiffe://cluster.local/ns/shop",
        "principal": {
            "authenticated": True,
            "subject": "alice",
            "provider": "corp",
            "roles": ["a", "b"],
            "groups": ["staff"],
            "scopes": ["orders.read"],
        },
        "claims": {"sub": "alice", "n": 1.5, "list": ["a", {"b": None}]},
        "path": {"order": "a b"},
    }


def test_nothing_that_the_proxy_leaves_out():
    """Empty texts and zeros are absent, as in the proxy's message; an anonymous caller has no subject."""
    request = Request(
        scheme="", protocol="", source_address="", source_port=0, destination_address="", destination_port=0
    )
    document = whole(request, Principal(authenticated=False), RoleHolding())
    assert document["attributes"] == {
        "request": {
            "http": {
                "method": "GET",
                "path": "/",
                "host": "shop.example",
                "headers": {":authority": "shop.example", ":method": "GET", ":path": "/"},
            }
        }
    }
    assert document["principal"] == {"authenticated": False, "roles": [], "groups": [], "scopes": []}
    assert document["claims"] == {}
    assert "source_principal" not in document


def test_no_more_than_is_read():
    """Parts that nobody reads are not made: here a body that could not be."""
    made = FactsInput([("attributes", "request", "http", "headers", "x-tag"), ("claims", "sub"), ("nonsense",)])
    facts = make_facts(Request(headers={"content-type": ("application/json",), "x-tag": ("1",)}, body=b"{"), CALLER)
    assert made.make(facts) == {
        "attributes": {"request": {"http": {"headers": {"x-tag": "1"}}}},
        "claims": {"sub": "alice", "n": 1.5, "list": ["a", {"b": None}]},
    }


@pytest.mark.parametrize(
    ("reads", "names"),
    [
        (("claims", "a", "b"), {("claims", "a", "b")}),
        (("claims",), {("claims",)}),
        (("path", "id"), {("path", "id")}),
        (("principal",), {(f"principal.{n}",) for n in PRINCIPAL_PARTS}),
        (("attributes", "request", "http", "headers", "x-a"), {("request.headers", "x-a")}),
        (("attributes", "request", "http", "headers"), {("request.headers",)}),
        (("attributes", "request", "http", "method"), {("request.method",)}),
        (("parsed_path",), {("request.path",)}),
        (("parsed_body", "x"), {("body",), ("request.headers",)}),
        (("version",), set()),
        (("nonsense",), set()),
    ],
)
def test_reads_in_the_words_of_conditions(reads, names):
    """What a Rego rule reads is named as what CEL reads."""
    assert FactsInput([reads]).reads == names


def test_a_role_in_doubt():
    """Neither held nor absent: who reads the roles gets no input."""
    with pytest.raises(InputRefusedError, match="role"):
        whole(roles=RoleHolding(frozenset({"a"}), frozenset({"b"})))


@pytest.mark.parametrize(
    ("request_", "read"),
    [
        (Request(target="/a?x=%"), "parsed_query"),
        (Request(target="/a?x=%"), "parsed_path"),
        (Request(headers={"content-type": ("application/json",)}, body=b"{"), "parsed_body"),
        (Request(headers={"content-type": ("application/json",)}, body=b"{"), "truncated_body"),
    ],
)
def test_what_cannot_be_parsed(request_, read):
    """Refused at every read, not only at the first."""
    facts = make_facts(request_)
    for _ in range(2):
        with pytest.raises(InputRefusedError):
            FactsInput([(read,)]).make(facts)


def test_a_body_that_is_not_whole():
    """Null, and said to be cut off where the proxy says so."""
    request = Request(headers={"content-type": ("application/json",), "x-envoy-auth-partial-body": ("true",)})
    document = whole(request)
    assert (document["parsed_body"], document["truncated_body"]) == (None, True)
    assert (whole(Request())["parsed_body"], whole(Request())["truncated_body"]) == (None, False)


def test_bodies_that_are_no_text():
    """There as bytes alone."""
    http = whole(Request(body=b"\xff"))["attributes"]["request"]["http"]
    assert "body" not in http
    assert http["rawBody"] == "/w=="


def test_halves_of_surrogate_pairs_in_claims():
    """Read as Go reads them."""
    caller = Principal(authenticated=True, subject="a", claims={"\ud800": "\udc00"})
    assert whole(principal=caller)["claims"] == {"\ufffd": "\ufffd"}


def test_claims_are_made_once_per_caller():
    """A cached token's claims are not walked through at every request."""
    caller = Principal(authenticated=True, subject="a", claims={"a": {}})
    assert whole(principal=caller)["claims"] is whole(principal=caller)["claims"]
