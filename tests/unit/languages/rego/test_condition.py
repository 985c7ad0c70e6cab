import json
import pickle

import pytest

from extauthz.languages.rego import Module
from extauthz.languages.rego.condition import RegoCondition, RegoPolicy, rego_condition
from extauthz.model.access import Deadline, Principal, RoleHolding
from extauthz.model.decision import Outcome
from extauthz.model.source import Span
from extauthz.sources.rego_planner import plan_with_regopy
from tests.strategies import Request, make_facts

POLICY = """package t

tenant if input.claims.tenant == data.tenant

never := false

number := 1

conflict := true if input.claims

conflict := false if input.claims

builtin if to_number(input.claims.tenant) > 0

body if input.parsed_body.ok

roles if "admin" in input.principal.roles

slow if {
	some i in numbers.range(1, 3000)
	some j in numbers.range(1, 3000)
	i + j < 0
}

late if time.now_ns() == 1800000000000000000
"""


@pytest.fixture(scope="module")
def policy() -> RegoPolicy:
    return RegoPolicy(json.dumps(plan_with_regopy([Module("t.rego", POLICY)], ["t"])), {"tenant": "acme"})


@pytest.fixture
def condition(policy):
    return lambda rule: rego_condition(policy, f"t/{rule}", f"data.t.{rule}", Span("p.yaml", 3, 7))


def caller(**claims) -> Principal:
    return Principal(authenticated=True, subject="a", claims=claims)


FACTS = make_facts(principal=caller(tenant="acme"))


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ("tenant", Outcome.SATISFIED),
        ("never", Outcome.UNSATISFIED),
        ("roles", Outcome.UNSATISFIED),
        ("number", Outcome.ERRORED),
        ("conflict", Outcome.ERRORED),
        ("builtin", Outcome.ERRORED),
        ("late", Outcome.SATISFIED),
    ],
)
def test_outcomes(condition, rule, outcome):
    """Only true satisfies; undefined and false do not; everything else is an error, a built-in's included."""
    assert condition(rule).evaluate(FACTS) is outcome


def test_undefined_is_not_satisfied(condition):
    """A rule whose body fails says nothing."""
    assert condition("tenant").evaluate(make_facts(principal=caller(tenant="other"))) is Outcome.UNSATISFIED


def test_an_input_that_cannot_be_made(condition):
    """A malformed body and a role in doubt are errors of the rules that read them, and of no others."""
    broken = Request(headers={"content-type": ("application/json",)}, body=b"{")
    facts = make_facts(broken, caller(tenant="acme"), RoleHolding(frozenset(), frozenset({"admin"})))
    assert condition("body").evaluate(facts) is Outcome.ERRORED
    assert condition("roles").evaluate(facts) is Outcome.ERRORED
    assert condition("tenant").evaluate(facts) is Outcome.SATISFIED


def test_a_rule_that_runs_away(condition):
    """Stopped at its own budget, or at the caller's deadline before that: an error."""
    assert condition("slow").evaluate(FACTS) is Outcome.ERRORED
    looks = iter([8.0, 9.0, 10.0])
    facts = make_facts(principal=caller(tenant="acme"))
    facts.deadline = Deadline(9.5, lambda: next(looks))
    assert condition("slow").evaluate(facts) is Outcome.ERRORED
    assert list(looks) == []


def test_what_it_reads(condition):
    """In the words of other conditions; the time where a built-in asks for it."""
    assert condition("tenant").reads == {("claims", "tenant")}
    assert condition("late").reads == {("request.time",)}
    assert condition("body").reads == {("body",), ("request.headers",)}


def test_to_another_process(condition, policy):
    """Conditions of one policy share it there, too, and decide alike."""
    sent: list[RegoCondition] = pickle.loads(pickle.dumps([condition("tenant"), condition("never")]))
    assert sent[0].policy is sent[1].policy
    assert sent[0].policy.digest == policy.digest
    assert [each.evaluate(FACTS) for each in sent] == [Outcome.SATISFIED, Outcome.UNSATISFIED]
    assert (sent[0].text, sent[0].span, repr(sent[0])) == (
        "data.t.tenant",
        Span("p.yaml", 3, 7),
        "RegoCondition('data.t.tenant')",
    )


def test_digests_tell_policies_apart(policy):
    """By their data, too."""
    assert RegoPolicy(policy._plan, {"tenant": "other"}).digest != policy.digest


def test_which_rules_ran(condition):
    """With what they came to, and why an evaluation failed: for people who ask."""
    (run,) = condition("tenant").trace(FACTS).runs
    assert (run.name, run.span.file, run.span.line, run.value) == ("data.t.tenant", "t.rego", 3, "true")
    assert condition("tenant").trace(make_facts()).runs[0].value == "undefined"
    failed = condition("builtin").trace(FACTS)
    assert failed.runs == ()
    assert failed.problem.startswith("t.rego:13: to_number: ")
    broken = make_facts(Request(headers={"content-type": ("application/json",)}, body=b"{"))
    assert condition("body").trace(broken).problem.startswith("invalid JSON")
