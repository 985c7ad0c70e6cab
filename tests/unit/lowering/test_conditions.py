"""Which conditions Envoy evaluates as the authorizer does, and what a constant part leaves of one.

That the two agree is shown by requests through a real Envoy, in tests/differential.
"""

import pytest

from extauthz.languages.cel import CelCompiler
from extauthz.lowering.callers import ANONYMOUS, ANYBODY, caller_of
from extauthz.lowering.conditions import Guards, lower_condition
from extauthz.lowering.expression import to_envoy
from extauthz.lowering.formula import NotExactError, as_expr, is_always, is_never
from extauthz.model.decision import Outcome
from extauthz.model.policy import TrailingSlash
from tests.harness.authn import make_provider
from tests.strategies import SPAN, FixedCondition, make_route

KNOWN = caller_of(make_provider())


def lower(text, caller=KNOWN, path="/orders/{id}/{rest=**}"):
    guards = Guards()
    condition = CelCompiler().compile(text, SPAN)
    return lower_condition(condition, make_route(path), caller, TrailingSlash.SAME, guards), guards


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("claims.orders.exists(o, o == path.id)", "loops over a list or map"),
        ("body.total > 1", "reads body"),
        ("request.query['a'] == 'b'", "reads request.query"),
        ("'a' in request.headers && request.headers.size() > 1", "reads request.headers as a whole"),
        ("claims.size() > 1", "reads claims as a whole"),
        ("source.address == 'a'", "reads source.address"),
        ("'admin' in principal.roles", "reads principal.roles"),
        ("path.rest == 'a'", "binds the rest of the path"),
        ("request.path == '/a'", "reads request.path"),
        ("claims.n + 1.0 == 2.0", r"calls \+"),
        ("string(claims.n) == '1'", "calls string"),
        ("{'a': 1} == {'a': 1}", "makes a map"),
        ("claims.a.matches(claims.b)", "not written out"),
    ],
)
def test_what_differs_is_not_exact(text, why):
    """Or what Envoy would refuse to load."""
    with pytest.raises(NotExactError, match=why):
        lower(text)


def test_another_language_is_not_exact():
    """Rego has no counterpart in an RBAC filter."""
    with pytest.raises(NotExactError, match="not written in CEL"):
        lower_condition(FixedCondition(Outcome.SATISFIED), make_route(), KNOWN, TrailingSlash.SAME, Guards())


@pytest.mark.parametrize(
    "text",
    [
        "request.method == 'GET' && request.scheme == 'https' && request.protocol != 'HTTP/2'",
        "request.headers['x-a'] in ['1', '2'] || claims.level >= 3",
        "path.id == principal.subject && principal.provider == 'corp'",
        "path.id in claims.orders || claims.address.city.startsWith('B')",
        "request.time.getHours('Europe/Berlin') >= 8",
        "request.url_path.matches('^/a+$') ? request.host == 'h' : claims.ok == true",
        "request.host.lowerAscii().split('.')[0] == 'a'",
    ],
)
def test_what_agrees_is_lowered(text):
    """Reads of what both see, calls of what both have."""
    formula, _ = lower(text)
    assert as_expr(formula) is not None


def test_nothing_of_ours_is_left_to_envoy():
    """Each read becomes one of Envoy's: `claims` and `path` mean nothing there."""
    formula, _ = lower("path.id == claims.sub && request.headers['x-a'] == principal.subject")
    names = str(to_envoy(as_expr(formula)))
    assert "claims_corp" in names
    assert "'name': 'path'" not in names
    assert "'name': 'claims'" not in names
    assert "principal" not in names


def test_what_the_route_and_the_caller_decide_is_decided_at_once():
    """A loop in a part that is never reached does no harm."""
    loop = "claims.memberships.exists(m, m.store == path.store)"
    assert is_never(lower(f"has(path.store) && has(claims.memberships) && {loop}")[0])
    assert is_always(lower(f"!has(path.store) || {loop}")[0])
    assert is_never(lower("has(claims.suspended) && claims.suspended != false", ANYBODY)[0])
    assert is_never(lower("principal.authenticated", ANONYMOUS)[0])
    assert is_always(lower("principal.authenticated")[0])
    assert is_always(lower("true || claims.x == 1")[0])
    assert is_never(lower("false && claims.x == 1")[0])
    assert is_always(lower("!(principal.authenticated && has(path.store))")[0])


@pytest.mark.parametrize("text", ["claims.a == 'b'", "principal.subject == 'a'", "principal.provider == 'p'"])
def test_reading_what_nobody_has_is_an_error(text):
    """As it is to the authorizer, so that a deny that reads it denies."""
    formula, guards = lower(text, ANONYMOUS)
    assert "_/_" in str(to_envoy(as_expr(formula)))
    assert not guards.by_read


def test_what_is_read_differently_on_some_requests_is_guarded():
    """A claim by its type, a header by there being one of it, a host by how it is written; a presence needs nothing."""
    _, guards = lower("claims.a == 'b' && has(claims.c) && request.headers['x-a'] == '1' && request.host == 'h'")
    assert sorted(guards.by_read) == [("claims", "a"), ("request.headers", "x-a"), ("request.host",)]
    assert as_expr(guards.formula()) is not None
