"""A comparison misses nothing: what two sets decide differently, for any request at all, it reports."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authn.claims import principal_of
from extauthz.authoring.credentials import Credential
from extauthz.authoring.diff import compare
from extauthz.authoring.suite import WrittenRequest
from extauthz.authorizer import Snapshot, authorize_as, build_snapshot
from extauthz.errors import PolicyError
from extauthz.model.access import ANONYMOUS, JsonValue
from extauthz.model.decision import Effect
from extauthz.model.policy import Authentication, PolicySet
from tests.policies import policy_set

NOW = 1_800_000_000.0
HEAD = """\
version: 1
providers:
  corp:
    {issuer: https://a.example, audiences: [s], algorithms: [RS256], jwks: {uri: https://a.example/k},
     claims: {roles: roles, groups: groups, scopes: scope}, may_assert: all}
  partner:
    {issuer: https://b.example, audiences: [s], algorithms: [RS256], jwks: {uri: https://b.example/k},
     claims: {roles: roles, scopes: scope}, may_assert: %(may)s}
trust_domains: [td]
trusted_proxies: [%(proxies)s]
paths: {trailing_slash: %(slash)s, encoded_slash: %(encoded)s}
"""
CORP = "provider: corp"
RULES = (
    "{role: reader}",
    "{role: [editor, admin]}",
    '{permission: "items:read"}',
    "{scope: [s, t]}",
    "{scope: t, role: reader}",
    f"{{group: staff, {CORP}}}",
    f"{{subject: [alice, bob], {CORP}}}",
    "{provider: partner}",
    "{authenticated: true}",
    '{workload: "spiffe://td/ns/**"}',
    '{workload: "spiffe://td/ns/a"}',
    "{remote_ip: [192.0.2.0/24]}",
    "{direct_remote_ip: [10.0.0.0/8, 192.0.2.128/25]}",
    f"{{{CORP}, when: \"has(claims.level) && claims.level == 'gold'\"}}",
    f"{{{CORP}, when: \"claims.level != 'gold'\"}}",
    f"{{{CORP}, when: \"!has(claims.level) || claims.level == 'red'\"}}",
    "{when: \"request.method == 'GET'\"}",
    "{when: \"request.method in ['PUT', 'PATCH'] || 'x-go' in request.headers\"}",
    "{when: \"request.headers['x-go'] == 'yes'\"}",
    "{when: \"'editor' in principal.roles\"}",
    "{when: \"has(path.x) && path.x == 'b'\"}",
    "{when: \"has(path.x) ? path.x != 'b' : principal.authenticated\"}",
    "{when: \"principal.provider == 'corp' && 'staff' in principal.groups\"}",
    "{when: \"request.url_path.startsWith('/a') && 's' in principal.scopes\"}",
)
BINDINGS = (
    "{role: reader, subjects: [{group: staff, provider: corp}]}",
    "{role: editor, subjects: [{subject: alice, provider: corp}, {group: ops, provider: corp}]}",
    "{role: editor, provider: partner, when: \"has(claims.level) && claims.level == 'gold'\"}",
    '{role: admin, provider: corp, when: "claims.admin == true"}',
    '{role: reader, subjects: [{workload: "spiffe://td/ns/**"}]}',
)
PATHS = ("/", "/a", "/a/{x}", "/{x}/b", "/a/**", "/**", "/a/b", "/{x}", "/{y}/b", "/a/b/{x=**}")
HOSTS = ("", "host: shop.example, ", 'host: "*.example", ')
METHODS = ("", "methods: [GET], ", "methods: [GET, PUT], ", "methods: [OPTIONS, POST], ")
ROLES = (
    'roles: {reader: {permissions: ["items:read"]}, editor: {inherits: [reader]}, admin: {permissions: ["*"]}}\n',
    'roles: {reader: {}, editor: {permissions: ["items:*"]}, admin: {inherits: [editor]}}\n',
)


def rules(least: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(RULES), min_size=least, max_size=2, unique=True)


Spec: TypeAlias = dict[str, Any]
"""A set or a route, by the parts of its text."""

ROUTE: st.SearchStrategy[Spec] = st.fixed_dictionaries(
    {
        "host": st.sampled_from(HOSTS),
        "path": st.sampled_from(PATHS),
        "methods": st.sampled_from(METHODS),
        "authentication": st.sampled_from(("required", "required", "optional", "none", "public")),
        "providers": st.sampled_from(("", "", "providers: [corp], ", "providers: [partner], ")),
        "cors": st.sampled_from(("", "", 'cors: {origins: ["https://o.example"]}, ', 'cors: {origins: ["*"]}, ')),
        "allow": rules(1),
        "deny": rules(0),
        "require": rules(0),
        "headers": st.sampled_from(("", 'upstream_headers: {set: {x-roles: "{principal.roles}"}}, ')),
    }
)
SET: st.SearchStrategy[Spec] = st.fixed_dictionaries(
    {
        "may": st.sampled_from(("all", "none", "{roles: [reader], scopes: [s]}")),
        "proxies": st.sampled_from(("10.0.0.0/8", "10.0.0.0/9, 192.0.2.7/32")),
        "slash": st.sampled_from(("same", "same", "distinct")),
        "encoded": st.sampled_from(("reject", "reject", "keep")),
        "roles": st.sampled_from(ROLES),
        "bindings": st.lists(st.sampled_from(BINDINGS), max_size=3, unique=True),
        "deny": rules(0),
        "routes": st.lists(ROUTE, min_size=1, max_size=3),
    }
)
KINDS = {"routes": st.lists(ROUTE, min_size=1, max_size=3), "deny": rules(0)}


@st.composite
def two_sets(draw: st.DrawFn) -> tuple[Spec, Spec]:
    """A set, and one that differs in one or two respects."""
    old = draw(SET)
    other = draw(SET)
    new = dict(old)
    for key in draw(st.lists(st.sampled_from(sorted(old)), min_size=1, max_size=2, unique=True)):
        new[key] = other[key]
    if draw(st.booleans()):
        route = dict(old["routes"][0])
        key = draw(st.sampled_from(sorted(route)))
        new["routes"] = [{**route, key: other["routes"][0][key]}, *old["routes"][1:]]
    return old, new


def listed(key: str, items: Sequence[str]) -> str:
    return f"{key}: [{', '.join(items)}], " if items else ""


def text_of(spec: Mapping[str, Any]) -> str:
    """The set as YAML."""
    text = HEAD % spec + str(spec["roles"])
    for key in ("bindings", "deny"):
        text += f"{key}: [{', '.join(spec[key])}]\n" if spec[key] else ""
    text += "routes:\n"
    for route in spec["routes"]:
        access = (
            "public: true"
            if route["authentication"] == "public"
            else f"authentication: {route['authentication']}, {route['providers']}{listed('allow', route['allow'])}"
        )
        rest = listed("deny", route["deny"]) + listed("require", route["require"])
        where = f'{route["host"]}path: "{route["path"]}", {route["methods"]}{route["cors"]}{route["headers"]}'
        text += f"  - {{{where}{rest}{access}}}\n"
    return text


def parsed(spec: Mapping[str, object]) -> PolicySet:
    try:
        return policy_set(text_of(spec))
    except PolicyError:
        assume(False)
        raise


CLAIMS: Mapping[str, Sequence[JsonValue]] = {
    "sub": ("alice", "bob", "carol"),
    "roles": (None, [], ["reader"], ["editor"], ["admin", "reader"]),
    "groups": (None, ["staff"], ["ops", "other"]),
    "scope": (None, "s", "t u"),
    "level": (None, "gold", "red", 7),
    "admin": (None, True, False),
}
TARGETS = ("/", "/a", "/a/", "/a/b", "/b", "/b/b", "/a/c", "/a/b/c/d", "/c/d", "/a%2Fb", "/a/x%2Fy", "/a/b?x=1")
HEADERS = (
    (),
    (("x-go", "yes"),),
    (("x-go", "no"),),
    (("x-forwarded-for", "192.0.2.9"),),
    (("x-forwarded-for", "192.0.2.200, 10.200.0.1"),),
    (("origin", "https://o.example"), ("access-control-request-method", "GET")),
    (("origin", "https://p.example"), ("access-control-request-method", "PUT")),
)
METHODS_SENT = ("GET", "HEAD", "PUT", "POST", "OPTIONS", "PATCH", "TRACE")
HOSTS_SENT = ("shop.example", "x.example", "other.test", "example")
PEERS = ("", "192.0.2.7", "192.0.2.200", "10.1.1.1", "10.200.0.1", "203.0.113.1")
WORKLOADS = ("", "spiffe://td/ns/a", "spiffe://td/ns/b/c", "spiffe://other/ns/a")
Caller: TypeAlias = tuple[str, Mapping[str, JsonValue]] | None


def requests(seed: int) -> Iterator[tuple[WrittenRequest, Caller]]:
    """Any requests, of anybody."""
    choose = random.Random(seed).choice
    for _ in range(300):
        request = WrittenRequest(
            choose(METHODS_SENT),
            choose(TARGETS),
            choose(HOSTS_SENT),
            choose(HEADERS),
            source_address=choose(PEERS),
            peer_identity=choose(WORKLOADS),
        )
        claims = {key: choose(values) for key, values in CLAIMS.items()}
        yield request, choose((None, ("corp", claims), ("corp", claims), ("partner", claims)))


def effect(snapshot: Snapshot, request: WrittenRequest, caller: Caller) -> Effect:
    """As in service: a credential that does not count on its route is refused."""
    principal = ANONYMOUS
    if caller is not None:
        name, claims = caller
        provider = next(p for p in snapshot.policy_set.providers if p.name == name)
        principal = principal_of(
            provider, {k: v for k, v in claims.items() if v is not None}, snapshot.policy_set.roles
        )
    decision = authorize_as(request, snapshot, NOW, principal)
    route = next((r for r in snapshot.policy_set.routes if r.name == decision.route), None)
    if decision.effect is Effect.ALLOW and not decision.policies[0].endswith(".cors"):
        assert route is not None
        looks = route.authentication is not Authentication.NONE
        if looks and principal.authenticated and principal.provider not in route.providers:
            return Effect.DENY
    return decision.effect


def presented(credential: Credential | None) -> Caller:
    """The claims of an example's caller."""
    if credential is None:
        return None
    claims = {
        "sub": credential.subject,
        "roles": list(credential.roles),
        "groups": list(credential.groups),
        "scope": " ".join(credential.scopes),
    }
    return credential.provider, claims


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(two_sets(), st.integers(0, 2**32))
def test_nothing_is_missed(specs, seed):
    """Whatever a request shows to differ is among the differences; and what rests on no condition is shown by one."""
    old, new = map(parsed, specs)
    comparison = compare(old, new, max_decisions=20_000)
    found = {difference.is_widening for difference in comparison.differences}
    snapshots = [build_snapshot(each, KeySets(), VerifiedTokens()) for each in (old, new)]
    event(f"limited: {bool(comparison.limits)}, different: {bool(found)}")
    for difference in comparison.differences:
        if not difference.assumptions:
            its = [effect(snapshot, difference.request, presented(difference.credential)) for snapshot in snapshots]
            assert its == [difference.old.effect, difference.new.effect], difference
    for request, caller in requests(seed):
        before, after = (effect(snapshot, request, caller) for snapshot in snapshots)
        if before is not after:
            widens = after is Effect.ALLOW
            assert widens in found or comparison.limits, (request, caller)
            assert not comparison.is_same
            assert comparison.may_widen or not widens


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(SET)
def test_a_set_is_as_itself(spec):
    """However it is written: other variable names, other spans, another order of rules."""
    old = parsed(spec)
    new = dataclasses.replace(
        old,
        revision="other",
        bindings=tuple(reversed(old.bindings)),
        routes=tuple(
            dataclasses.replace(route, deny=tuple(reversed(route.deny)), allow=tuple(reversed(route.allow)))
            for route in reversed(old.routes)
        ),
    )
    comparison = compare(old, new)
    assert comparison.is_same, comparison
    # Not only for being written alike: with one provider more, every pair of routes is gone through.
    extra = dataclasses.replace(old.providers[0], name="unused")
    comparison = compare(old, dataclasses.replace(new, providers=(*old.providers, extra)))
    assert not comparison.differences, comparison
    assert comparison.situations or not any(itertools.chain(route.allow for route in old.routes))
