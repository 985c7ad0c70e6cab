import pytest

from extauthz.authoring.expectation import Difference, differences
from extauthz.authoring.suite import Expectation
from extauthz.model.decision import Decision, Effect, HeaderChanges, PolicyId, Reason
from extauthz.model.source import Span
from tests.policies import policy_set
from tests.suites import findings, suite

SPAN = Span("t.yaml", 1, 1)
RULE = PolicyId("list.allow.staff")
ALLOWED = Decision(
    Effect.ALLOW, (RULE,), (), Reason.ALLOWED, "list", HeaderChanges((("x-user", "alice"),), ("x_user",))
)
DENIED = Decision(Effect.DENY, (), (RULE,), Reason.EVALUATION_ERROR, "list", challenge="Bearer")
TEST = "tests:\n- name: a\n  request: {path: /orders}\n  expect: %s"


def expected(text: str) -> Expectation:
    """The expectation of the only test of a file."""
    return suite(TEST % text).cases[0].expect


def test_short_forms_say_one_thing():
    """A word or number is an effect, a status, or a reason."""
    assert expected("allow").effect is Effect.ALLOW
    assert expected("403").status == 403
    assert expected("credential_missing").reason is Reason.CREDENTIAL_MISSING


def test_whole_form_is_read():
    """Each key becomes what is compared; header names are lower case."""
    read = expected(
        "{effect: allow, status: 200, reason: allowed, route: list, rules: list.allow.staff, upstream: {X-User: a}}"
    )
    assert read == Expectation(
        Span("shop_test.yaml", 4, 11),
        effect=Effect.ALLOW,
        status=200,
        reason=Reason.ALLOWED,
        route="list",
        rules=frozenset({RULE}),
        upstream=(("x-user", "a"),),
    )
    assert expected("{challenge: none, errors: [list.allow.staff]}").errors == frozenset({RULE})


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "{rules: list.allow.stuff}",
            "EAZ308 the set has no rule 'list.allow.stuff' (did you mean 'list.allow.staff'?)",
        ),
        ("{route: lst}", "EAZ308 the set has no route 'lst' (did you mean 'list'?)"),
        ("{upstream: {x-usr: a}}", "EAZ308 the set puts no 'x-usr' upstream (did you mean 'x-user'?)"),
        ("{absent: x-usr}", "EAZ308 the set puts no 'x-usr' upstream (did you mean 'x-user'?)"),
        ("{}", "EAZ204 nothing is expected (write `effect: allow`, or `deny`)"),
        ("{effect: allow, status: 403}", "EAZ213 'status' is about a request that is denied, 'effect' says otherwise"),
        (
            "{effect: deny, reason: preflight}",
            "EAZ213 'reason' is about a request that is allowed, 'effect' says otherwise",
        ),
        (
            "{effect: deny, upstream: {x-user: a}}",
            "EAZ213 'upstream' is about a request that is allowed, 'effect' says otherwise",
        ),
        (
            "{effect: allow, challenge: Bearer}",
            "EAZ213 'challenge' is about a request that is denied, 'effect' says otherwise",
        ),
        ("{status: 401, reason: no_route}", "EAZ213 the status of no_route is 403"),
        ("{status: 404}", "EAZ213 no decision has the status 404 (known here: 200, 400, 401, 403, 413, 503)"),
    ],
)
def test_expectation_that_cannot_be_met_is_refused(text, finding):
    """What no decision can be is a mistake of the test, not a failure."""
    (found,) = findings(TEST % text)
    assert found.split(": ", 1)[1] == finding


@pytest.mark.parametrize(
    ("expect", "decision", "difference"),
    [
        (Expectation(SPAN, effect=Effect.DENY), ALLOWED, Difference("effect", "deny", "allow")),
        (Expectation(SPAN, status=401), DENIED, Difference("status", "401", "403")),
        (Expectation(SPAN, reason=Reason.NO_ROUTE), DENIED, Difference("reason", "no_route", "evaluation_error")),
        (Expectation(SPAN, route="order"), DENIED, Difference("route", "order", "list")),
        (Expectation(SPAN, rules=frozenset({RULE})), DENIED, Difference("rules", RULE, "none")),
        (Expectation(SPAN, errors=frozenset({RULE})), ALLOWED, Difference("errors", RULE, "none")),
        (Expectation(SPAN, upstream=(("x-user", "bob"),)), ALLOWED, Difference("upstream x-user", "bob", "alice")),
        (Expectation(SPAN, upstream=(("x-roles", "a"),)), ALLOWED, Difference("upstream x-roles", "a", "none")),
        (Expectation(SPAN, absent=("x-user",)), ALLOWED, Difference("upstream x-user", "absent", "alice")),
        (Expectation(SPAN, challenge="none"), DENIED, Difference("challenge", "none", "Bearer")),
        (Expectation(SPAN, challenge="Bearer"), ALLOWED, Difference("challenge", "Bearer", "none")),
    ],
)
def test_each_thing_is_compared(expect, decision, difference):
    """What is expected and not so is told with both sides."""
    assert differences(expect, decision, 200 if decision is ALLOWED else 403) == (difference,)


def test_what_is_as_expected_is_no_difference():
    """All that agrees passes, and what is left out does not matter."""
    whole = Expectation(
        *(SPAN, Effect.ALLOW, 200, Reason.ALLOWED, "list", frozenset({RULE}), frozenset(), (("x-user", "alice"),)),
        challenge="none",
    )
    assert differences(whole, ALLOWED, 200) == ()
    assert differences(Expectation(SPAN), DENIED, 403) == ()


DECIDED = """\
version: 1
name: shop
routes:
  - {name: doc, path: /doc, authentication: none, decision: {rego: data.t.decision}}
"""


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("{status: 302}", False),
        ("{status: 302, reason: denied_by_policy}", False),
        ("{status: 302, reason: no_matching_allow}", True),
        ("{status: 302, effect: allow}", True),
        ("{status: 299}", True),
        ("{status: 418}", True),
    ],
)
def test_statuses_that_a_decision_may_have(text, refused):
    """Where a route's own decision may say what is answered, a denial has whatever status a denial can have."""
    tested = policy_set(DECIDED, {"t.rego": "package t\n\ndecision := true\n"})
    assert bool(findings(TEST % text, tested)) is refused
    assert findings(TEST % text)
