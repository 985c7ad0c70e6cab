"""CEL conditions: what a module makes of them, against CEL itself."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import authorize_as, build_snapshot
from extauthz.check.request import CheckedRequest
from extauthz.lowering.callers import ANYBODY
from extauthz.lowering.plan import Verdict
from extauthz.lowering.wasm.conditions import ConditionEmitter
from extauthz.lowering.wasm.emitter import UNKNOWN, Emitter
from extauthz.model.access import ANONYMOUS, Principal
from tests.harness.case import CaseRequest, Proxy
from tests.harness.check_call import check_request
from tests.harness.machine import peer
from tests.harness.module import ask, plan_of, said

EXACT = [
    "claims.level >= 3",
    "claims.level < 3.5",
    "claims.level == 3 || claims.nothing == 1",
    "claims.nothing == 1",
    "has(claims.nothing) && claims.nothing == 1",
    "has(claims.address.city)",
    "has(claims.nothing.city)",
    "claims.address.city == 'Berlin'",
    "'red' in claims.tags",
    "!('red' in claims.tags)",
    "claims.tags == ['red', 'blue']",
    "claims.tags != ['blue', 'red']",
    "claims.level in [1, 2, 3]",
    "size(claims.tags) > 1",
    "size(claims.name) == 2",
    "claims.name.startsWith('é')",
    "claims.name.endsWith('t') && claims.name.contains('ét')",
    "claims.level.startsWith('3') || true",
    "claims.level > 'a'",
    "claims.void == null",
    "claims.flag ? claims.level == 3 : claims.nothing == 1",
    "claims.level == 3 ? false : true",
    "claims.nothing ? true : true",
    "claims.flag == true && !claims.flag == false",
    "request.headers['x-a'] == '1'",
    "request.headers['x-b'] == '1'",
    "request.headers['x-c'] == '1'",
    "'x-b' in request.headers && !('x-d' in request.headers)",
    "request.method == 'GET' && request.method in ['GET']",
    "request.scheme == 'http'",
    "request.host == 'shop.example' && request.host.endsWith('example')",
    "request.url_path == '/p/v/rest/of'",
    "path.id == 'v' && path.rest == 'rest/of'",
    "has(path.id) && !has(path.other)",
    "principal.authenticated && principal.subject == 'alice' && principal.provider == 'corp'",
    "principal.subject == 'alice'",
    "'staff' in principal.groups",
    "'a.b' in principal.scopes && !('b' in principal.scopes)",
    "source.address == '127.0.0.1:1234'",
    "claims.nul == 'a' || true",
    "claims.nul == 'a'",
    "claims.level == 9007199254740992",
    "claims.tags.exists(t, t == 'blue')",
    "claims.tags.exists(t, t == 'green')",
    "claims.tags.exists(t, t > 1)",
    "claims.tags.exists(t, t > 1 || t == 'blue')",
    "claims.tags.all(t, t.startsWith('r') || t.startsWith('b'))",
    "claims.tags.all(t, t == 'red')",
    "claims.memberships.exists(m, m.tenant == path.id && m.role == 'editor')",
    "claims.memberships.exists(m, m.tenant == path.id && m.role == 'reader')",
    "claims.memberships.exists(m, m['tenant'] == 'w' && has(m.extra))",
    "claims.memberships.all(m, has(m.role))",
    "claims.memberships.all(m, m.extra == 1)",
    "claims.memberships.exists(m, m.extra == 1)",
    "claims.level.exists(t, t == 1)",
    "claims.nothing.exists(t, t == 1)",
    "claims.nuls.exists(m, m.a == 'x')",
    "claims.nuls.exists(m, true) || true",
    "['a', 'red'].exists(t, t in claims.tags)",
    "[1, 2].all(n, claims.level > n)",
    "claims.tags.exists(t, ['red'].exists(u, u == 'red') && t == 'blue')",
    "claims.none.exists(t, t == 1)",
    "claims.none.all(t, t == 1)",
]
CLAIMS: dict[str, Any] = {
    "level": 3,
    "address": {"city": "Berlin"},
    "tags": ["red", "blue"],
    "name": "ét",
    "void": None,
    "flag": True,
    "nul": "a\0b",
    "nuls": [{"a": "x"}, {"b": "\0"}],
    "none": [],
    "memberships": [{"tenant": "v", "role": "editor"}, {"tenant": "w", "role": "reader", "extra": 1}],
    "groups": ["staff"],
    "scope": "a.b c",
}
HEADERS = (("x-a", "1"), ("x-b", "1"), ("x-b", "2"))
PATH = "/p/v/rest/of"


def outcome(text: str, principal: Principal) -> str:
    """How the authorizer decides a route that asks for this alone."""
    plan = plan_of([route(text)])
    snapshot = build_snapshot(plan.policy_set, KeySets(), VerifiedTokens())
    request = CaseRequest(path=PATH, host="shop.example", headers=HEADERS)
    message = check_request(request, Proxy(), 0.0, with_body=False)
    message.attributes.source.address.socket_address.port_value = 1234
    return str(authorize_as(CheckedRequest(message), snapshot, 0.0, principal).reason)


def route(text: str) -> dict[str, Any]:
    return {
        "name": "r",
        "path": "/p/{id}/{rest=**}",
        "authentication": "optional",
        "allow": [{"anyone": True, "when": text}],
    }


@pytest.mark.parametrize("text", EXACT)
@pytest.mark.parametrize("known", [True, False])
def test_a_condition_has_the_outcome_that_it_has_in_cel(text, known):
    """True, false and errors, for a known caller and for nobody; and nothing of it is left."""
    plan = plan_of([route(text)])
    assert [list(item.reasons) for item in plan.residual] == []
    alice = Principal(
        authenticated=True, subject="alice", provider="corp", groups=("staff",), scopes=("a.b", "c"), claims=CLAIMS
    )
    properties = peer("127.0.0.1:1234")
    machine = ask(plan, PATH, headers=HEADERS, claims=CLAIMS if known else None, properties=properties)
    decided = said(machine)
    assert decided is not None
    assert decided.split(" ")[1] == outcome(text, alice if known else ANONYMOUS)


LEFT = {
    "request.query['q'] == '1'": "it reads request.query",
    "claims.size() > 1": "it reads claims as a whole",
    "request.headers.size() > 1": "it reads request.headers as a whole",
    "claims.tags.exists_one(t, t == 'red')": "it makes a list, or counts",
    "claims.tags.map(t, t) == ['red']": "it makes a list, or counts",
    "claims.tags.exists(t, claims.tags.exists(u, u == t))": "it reads a part of what it has computed",
    "claims.memberships.exists(m, m.tenant.nothing == 1)": "it reads a part of what it has computed",
    "principal.groups.exists(g, g == 'staff')": "it loops over something else",
    "claims.tags.exists(t, t.matches('r'))": "it calls matches",
    "claims.name.matches('^a')": "it calls matches",
    "claims.tags[0] == 'red'": "it reads a part of what it has computed",
    "claims.level == 9007199254740993": "it holds a number beyond 2^53",
    "claims.name in [claims.other, 'a']": "it makes a list of other than literals",
    "request.time > timestamp('2020-01-01T00:00:00Z')": "it calls timestamp",
    "principal.roles == ['reader']": "it reads principal.roles",
    "request.headers['x-envoy-auth-partial-body'] == 'true'": "it reads x-envoy-auth-partial-body",
    "b'a' == b'a'": "it holds a literal of another kind (bytes_value)",
}


@pytest.mark.parametrize("text", LEFT)
def test_a_part_that_is_not_exact_is_left(text):
    """With the reason; the rest decides where it can, whatever the part is."""
    plan = plan_of([route(text)])
    (item,) = plan.residual
    assert item.verdict is Verdict.RESIDUAL
    assert any(reason.startswith(LEFT[text]) for reason in item.reasons), item.reasons
    assert said(ask(plan, PATH, claims=CLAIMS)) is None
    for joined, reason in ((f"({text}) && 1 == 2", "no_matching_allow"), (f"({text}) || 1 == 1", "allowed")):
        decided = said(ask(plan_of([route(joined)]), PATH, claims={}))
        assert decided is not None
        assert decided.split(" ")[1] == reason


@pytest.mark.parametrize("claim", [{"tags": {"a": 1}}, {"tags": [["red"]]}, {"tags": [{"a": 1}]}])
def test_a_claim_that_is_compared_otherwise_here_is_left(claim):
    """Objects, and lists of lists, on this request alone."""
    assert said(ask(plan_of([route("claims.tags == ['red']")]), PATH, claims=claim)) is None


def test_a_language_that_is_not_cel_is_left():
    """Whatever it says."""

    class Other:
        text, span = "x", None

    plan = plan_of([route("true")])
    reasons: list[str] = []
    emitter = ConditionEmitter(Emitter(), plan.policy_set.routes[0], ANYBODY, lambda *_: UNKNOWN)
    assert emitter.condition(Other(), reasons.append) == UNKNOWN  # type: ignore[arg-type]
    assert reasons == ["it is not written in CEL"]
