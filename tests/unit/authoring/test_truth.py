import pytest

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.suite import WrittenRequest
from extauthz.authoring.truth import OTHER_METHOD, BoundHitError, Truths, steer
from extauthz.authorizer import authorize_as, build_snapshot
from extauthz.model.access import ANONYMOUS, Principal
from extauthz.model.decision import Effect, Outcome
from tests.policies import HEAD, policy_set

CALLER = Principal(authenticated=True, subject="a", provider="corp")
SHORT = {Outcome.SATISFIED: "T", Outcome.UNSATISFIED: "F", Outcome.ERRORED: "E"}


def outcomes(when: str, method: str = "GET", path: str = "/r/{x}", caller: Principal = CALLER, limit: int = 500):
    """Every assignment that allows, as the outcomes of its atoms by their texts."""
    truths = Truths(10_000)
    text = f'{HEAD}routes: [{{name: r, path: "{path}", authentication: optional, allow: [{{when: "{when}"}}]}}]\n'
    snapshot = build_snapshot(steer(policy_set(text), truths), KeySets(), VerifiedTokens())
    request = WrittenRequest(method, "/r/7", "h.example")

    def decide() -> Effect:
        return authorize_as(request, snapshot, 0.0, caller).effect

    return [
        {truths.atoms[key].text: SHORT[outcome] for key, outcome in assigned.items()}
        for assigned, effect in truths.explore(decide, limit)
        if effect is Effect.ALLOW
    ]


def test_operators_are_those_of_cel():
    """`||` passes over an error, `&&` needs both, `?:` errs with its condition."""
    a, b = "request.scheme == 'a'", "request.path == 'b'"
    assert outcomes(f"{a} && {b}") == [{a: "T", b: "T"}]
    assert outcomes(f"{a} || {b}") == [{a: "F", b: "T"}, {a: "T"}, {a: "E", b: "T"}]
    assert outcomes(f"!({a})") == [{a: "F"}]
    assert outcomes(f"{a} ? {b} : !({b})") == [{a: "F", b: "F"}, {a: "T", b: "T"}]


def test_inequality_is_the_negation_of_equality():
    """The same atom, whichever way it is written."""
    assert outcomes("request.scheme != 'a'") == [{"request.scheme == 'a'": "F"}]
    assert outcomes("request.scheme != 'a' && request.scheme == 'a'") == []


def test_what_is_absent_cannot_be_read():
    """A `has()` that fails makes reads errors; what was read is there; deeper paths need the outer ones."""
    assert outcomes("!has(claims.a) && claims.a == 'x'") == []
    assert outcomes("claims.a == 'x' && !has(claims.a)") == []
    assert outcomes("!has(claims.a) && has(claims.a.b)") == []
    assert outcomes("claims.a.b == 'x' && !has(claims.a)") == []
    assert len(outcomes("has(claims.a) && claims.a == 'x'")) == 1
    assert len(outcomes("!has(claims.a) && claims.b == 'x'")) == 1


def test_loops_may_pass_over_what_is_absent():
    """`exists` over a list whose items lack the key is no error of the whole."""
    assert outcomes("!has(claims.a) && [1, 2].exists(n, n == 1 || claims.a == n)") != []


def test_one_value_equals_one_text():
    """Of two texts at most one is equal; a text and a truth may be compared in any way, for one of them may err."""
    assert outcomes("claims.a == 'x' && claims.a == 'y'") == []
    assert len(outcomes("claims.a == 'x' || claims.a == 'y'")) == 2
    assert len(outcomes("claims.a == 'x' && claims.a == true")) == 1


def test_what_the_kind_of_request_says_is_not_assumed():
    """Its method where that is named, its path's variables, whether anybody asks."""
    assert outcomes("request.method == 'GET'") == [{}]
    assert outcomes("request.method in ['PUT', 'POST']") == []
    assert outcomes("request.method == 'PUT'", method=OTHER_METHOD) == []
    assert len(outcomes("request.method.startsWith('P')", method=OTHER_METHOD)) == 1
    assert outcomes("has(path.x)") == [{}]
    assert outcomes("has(path.y)") == []
    assert outcomes("principal.authenticated && principal.provider == 'corp'") == [{}]
    assert outcomes("claims.a == 'x'", caller=ANONYMOUS) == []
    assert outcomes("claims.a == request.scheme", caller=ANONYMOUS) == []
    assert outcomes("!has(claims.a)", caller=ANONYMOUS) == [{}]


def test_exploring_is_bounded():
    """It says so rather than to stop early."""
    with pytest.raises(BoundHitError):
        outcomes(" && ".join(f"claims.c{n} == 'x'" for n in range(9)), limit=5)


def test_only_what_changes_the_result_matters():
    """An atom that decides nothing is not said to."""
    truths = Truths(100)
    text = f"{HEAD}routes: [{{path: /, public: true, deny: [{{when: \"request.scheme == 'a'\"}}]}}]\n"
    snapshot = build_snapshot(steer(policy_set(text), truths), KeySets(), VerifiedTokens())

    def decide() -> Effect:
        return authorize_as(WrittenRequest("GET", "/", "h"), snapshot, 0.0, ANONYMOUS).effect

    found = list(truths.explore(decide, 10))
    assert [effect for _, effect in found] == [Effect.ALLOW, Effect.DENY, Effect.DENY]
    assigned, result = found[0]
    (key,) = assigned
    assert truths.matters(key, assigned, decide, result)
    assert not truths.matters(key, assigned, lambda: Effect.ALLOW, result)
