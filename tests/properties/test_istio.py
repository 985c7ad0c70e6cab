"""Imported sets against a reference of Istio's law, written from its documentation: nothing more is ever allowed."""

import ipaddress
import re

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.istio_read import read_objects
from extauthz.authoring.istio_set import Workload, import_set
from extauthz.authorizer import authorize_as, build_snapshot
from extauthz.model.access import ANONYMOUS, Principal
from extauthz.model.decision import Effect
from tests.policies import parse
from tests.strategies import Request

NOW = 1_800_000_000
ISSUER = "https://issuer.example"
WORKLOAD = Workload(None, "istio-system", {}, frozenset(), "cluster.local", hosts_without_port=False)
AUTHENTICATION = {
    "apiVersion": "security.istio.io/v1",
    "kind": "RequestAuthentication",
    "metadata": {"name": "jwt", "namespace": "shop"},
    "spec": {"jwtRules": [{"issuer": ISSUER, "jwksUri": f"{ISSUER}/jwks", "audiences": ["shop"]}]},
}
PATTERNS = {
    "methods": ["GET", "P*", "*T", "*"],
    "paths": ["/a", "/a/*", "*/b", "*", "/a/{*}", "/a/{**}/b", "/{*}/b"],
    "hosts": ["shop.example", "shop.example:*", "*.example", "shop.*", "SHOP.example:80", "*"],
    "ports": ["80", "8080"],
    "principals": ["cluster.local/ns/web/sa/web", "cluster.local/ns/web/*", "*/sa/web", "*"],
    "namespaces": ["web", "w*"],
    "ipBlocks": ["10.0.0.0/12", "10.1.2.3", "0.0.0.0/0", "2001:db8::/32"],
    "remoteIpBlocks": ["10.0.0.0/8"],
    "requestPrincipals": [f"{ISSUER}/alice", f"{ISSUER}/*", "*/bob", "*"],
    "request.headers[x-a]": ["on", "o*", "*ff", "*"],
    "request.auth.claims[scope]": ["read", "w*"],
    "request.auth.claims[org][name]": ["blue", "*"],
    "request.auth.audiences": ["shop", "*"],
    "connection.sni": ["shop.example"],
}
SOURCES = ("principals", "namespaces", "ipBlocks", "remoteIpBlocks", "requestPrincipals")
OPERATIONS = ("methods", "paths", "hosts", "ports")
CONDITIONS = tuple(key for key in PATTERNS if key not in SOURCES + OPERATIONS)


def opposite(key):
    return f"not{key[0].upper()}{key[1:]}"


@st.composite
def alternative(draw, known):
    keys = draw(st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True))
    return {
        draw(st.sampled_from([key, opposite(key)])): draw(
            st.lists(st.sampled_from(PATTERNS[key]), min_size=1, max_size=2, unique=True)
        )
        for key in keys
    }


@st.composite
def rule(draw):
    made = {}
    for outer, inner, known in (("from", "source", SOURCES), ("to", "operation", OPERATIONS)):
        if draw(st.booleans()):
            made[outer] = [{inner: each} for each in draw(st.lists(alternative(known), min_size=1, max_size=2))]
    if draw(st.integers(0, 2)) == 0:
        key = draw(st.sampled_from(CONDITIONS))
        values = draw(st.lists(st.sampled_from(PATTERNS[key]), min_size=1, max_size=2, unique=True))
        made["when"] = [{"key": key, draw(st.sampled_from(["values", "notValues"])): values}]
    return made


@st.composite
def policies(draw):
    specs = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "action": st.sampled_from(["ALLOW", "ALLOW", "DENY", "CUSTOM", "AUDIT"]),
                    "rules": st.lists(rule(), max_size=2),
                }
            ),
            max_size=3,
        )
    )
    return [
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": f"p{number}", "namespace": "shop"},
            "spec": spec,
        }
        for number, spec in enumerate(specs)
    ]


REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "PUT"]),
        "target": st.sampled_from(["/a", "/a/", "/a/b", "/a/b?x=/b", "/a/x/b", "/%61", "/b", "/c?/a", "/a/c/d/b"]),
        "host": st.sampled_from(["shop.example", "shop.example:80", "SHOP.example", "shop.example.", "a.example", "x"]),
        "headers": st.sampled_from([{}, {"x-a": ("on",)}, {"x-a": ("off",)}, {"x-a": ("on", "off")}]),
        "source_address": st.sampled_from(["10.1.2.3", "10.16.0.1", "192.0.2.1", "2001:db8::1"]),
        "destination_port": st.sampled_from([80, 8080, 81]),
        "peer_identity": st.sampled_from(
            [
                "",
                "spiffe://cluster.local/ns/web/sa/web",
                "spiffe://cluster.local/ns/shop/sa/web",
                "spiffe://other/ns/web/sa/x",
            ]
        ),
    }
)
CLAIMS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"sub": st.sampled_from(["alice", "bob"])},
        optional={
            "scope": st.sampled_from(["read write", "reads", ["write"], 7.0]),
            "org": st.sampled_from([{"name": "blue"}, {"name": ["red", "blue"]}, {"name": True}, "blue", {}]),
        },
    ),
)


def matches(pattern, value):
    if pattern == "*":
        return bool(value)
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return value.endswith(pattern[1:]) if pattern.startswith("*") else value == pattern


def path_matches(pattern, path):
    if "{" not in pattern:
        return matches(pattern, path)
    expression = re.escape(pattern).replace(r"\{\*\}", "[^/]+").replace(r"\{\*\*\}", ".*")
    return re.fullmatch(expression, path) is not None


def claim_matches(value, pattern):
    values = value if isinstance(value, list) else [value]
    return any(isinstance(each, str) and matches(pattern, each) for each in values)


def attribute_matches(key, pattern, request, claims):
    """Whether Istio's attribute matches a pattern; what it cannot be known from here is not there."""
    claims = claims or {}
    peer = request["peer_identity"]
    address = ipaddress.ip_address(request["source_address"])
    scope = claims.get("scope")
    organisation = claims.get("org")
    return {
        "methods": lambda: matches(pattern, request["method"]),
        "paths": lambda: path_matches(pattern, request["target"].partition("?")[0]),
        "hosts": lambda: matches(pattern.lower(), request["host"].lower()),
        "ports": lambda: int(pattern) == request["destination_port"],
        "principals": lambda: bool(peer) and matches(pattern, peer.removeprefix("spiffe://")),
        "namespaces": lambda: f"/ns/{pattern}/" in peer if "*" not in pattern else f"/ns/{pattern[:-1]}" in peer,
        "ipBlocks": lambda: address in ipaddress.ip_network(pattern),
        "requestPrincipals": lambda: "sub" in claims and matches(pattern, f"{ISSUER}/{claims['sub']}"),
        "request.headers[x-a]": lambda: (
            "x-a" in request["headers"] and matches(pattern, ",".join(request["headers"]["x-a"]))
        ),
        "request.auth.claims[scope]": lambda: claim_matches(
            scope.split(" ") if isinstance(scope, str) else scope, pattern
        ),
        "request.auth.claims[org][name]": lambda: claim_matches(
            organisation.get("name") if isinstance(organisation, dict) else None, pattern
        ),
        "request.auth.audiences": lambda: claim_matches(claims.get("aud"), pattern),
    }[key]()


class Istio:
    """Istio's decision, where `unknown` attributes match or not as the run says."""

    def __init__(self, request, claims, unknown):
        self.request, self.claims, self.unknown = request, claims, unknown

    def one(self, key, pattern):
        if key in ("remoteIpBlocks", "connection.sni"):
            return self.unknown
        return attribute_matches(key, pattern, self.request, self.claims)

    def all_of(self, fields):
        for key, patterns in fields.items():
            positive = key in PATTERNS
            own = key if positive else key[3].lower() + key[4:]
            if any(self.one(own, pattern) for pattern in patterns) is not positive:
                return False
        return True

    def rule(self, made):
        for outer, inner in (("from", "source"), ("to", "operation")):
            if outer in made and not any(self.all_of(each[inner]) for each in made[outer]):
                return False
        for each in made.get("when", ()):
            if "values" in each and not any(self.one(each["key"], value) for value in each["values"]):
                return False
            if any(self.one(each["key"], value) for value in each.get("notValues", ())):
                return False
        return True

    def allows(self, objects):
        def matching(action):
            return any(self.rule(r) for o in objects if o["spec"]["action"] == action for r in o["spec"]["rules"])

        if matching("DENY"):
            return False
        return all(o["spec"]["action"] != "ALLOW" for o in objects) or matching("ALLOW")


def snapshot_of(objects):
    text = yaml.safe_dump_all(objects, sort_keys=False)
    imported = import_set(list(read_objects("all.yaml", text.encode())), WORKLOAD)
    return build_snapshot(parse(imported.text).policy_set, KeySets(), VerifiedTokens()), imported


@settings(max_examples=250, deadline=None)
@given(policies(), st.lists(st.tuples(REQUESTS, CLAIMS), min_size=12, max_size=12))
def test_nothing_is_allowed_that_istio_denies(objects, cases):
    """Whatever the attributes are that cannot be read; and where nothing is lost, what Istio allows is allowed."""
    snapshot, imported = snapshot_of([AUTHENTICATION, *objects])
    lost = any("AuthorizationPolicy" in line for line in imported.left_out)
    for request, claims in cases:
        whole = None if claims is None else {"iss": ISSUER, "aud": "shop", **claims}
        caller = ANONYMOUS if whole is None else Principal(True, whole["sub"], "issuer-0", claims=whole)
        ours = authorize_as(Request(**request), snapshot, NOW, caller).effect is Effect.ALLOW
        istio = [Istio(request, whole, unknown).allows(objects) for unknown in (False, True)]
        assert not ours or all(istio)
        is_plain = request["peer_identity"] and len(request["headers"].get("x-a", ())) < 2
        assert lost or ours or not is_plain or not all(istio)
