import itertools
from ipaddress import ip_network

import pytest

from extauthz.model.access import ANONYMOUS, Principal, RoleHolding
from extauthz.model.decision import Effect, Outcome, Reason
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    GroupIs,
    ProviderIs,
    RemoteIpIs,
    RoleIs,
    RuleKind,
    ScopeIs,
    SubjectIs,
    When,
    WorkloadIs,
)
from extauthz.pdp.evaluate import CompiledRule, RouteRules, compile_condition
from tests.strategies import SPAN, FixedCondition, Request, make_facts, make_policy_set, make_route, make_rule

SET = make_policy_set(trust_domains=("cluster.local",), trusted_proxies=(ip_network("10.0.0.0/8"),))
ALICE = Principal(True, "alice", "corp", groups=("staff", "ops"), scopes=("orders.read",))
YES, NO, ERROR = Outcome.SATISFIED, Outcome.UNSATISFIED, Outcome.ERRORED


def fixed(*outcomes):
    return [When(FixedCondition(outcome)) for outcome in outcomes]


@pytest.mark.parametrize(
    ("condition", "principal", "request_", "outcome"),
    [
        (Anyone(), ANONYMOUS, {}, YES),
        (Authenticated(), ANONYMOUS, {}, NO),
        (Authenticated(), ALICE, {}, YES),
        (ScopeIs(("x", "orders.read")), ALICE, {}, YES),
        (ScopeIs(("orders",)), ALICE, {}, NO),
        (GroupIs(("ops",)), ALICE, {}, YES),
        (GroupIs(("op",)), ALICE, {}, NO),
        (SubjectIs(("alice",)), ALICE, {}, YES),
        (SubjectIs(("bob",)), ALICE, {}, NO),
        (SubjectIs(("alice",)), ANONYMOUS, {}, NO),
        (ProviderIs(("corp",)), ALICE, {}, YES),
        (ProviderIs(("other",)), ALICE, {}, NO),
        (WorkloadIs(("spiffe://cluster.local/**",)), ANONYMOUS, {"peer_identity": "spiffe://cluster.local/x"}, YES),
        (WorkloadIs(("spiffe://cluster.local/**",)), ANONYMOUS, {"peer_identity": "spiffe://evil/x"}, NO),
        (RemoteIpIs((ip_network("192.0.2.0/24"),), direct=True), ANONYMOUS, {}, YES),
        (RemoteIpIs((ip_network("192.0.3.0/24"),), direct=True), ANONYMOUS, {}, NO),
        (RemoteIpIs((ip_network("192.0.3.0/24"),), direct=True), ANONYMOUS, {"source_address": ""}, ERROR),
        (
            RemoteIpIs((ip_network("203.0.113.0/24"),), direct=False),
            ANONYMOUS,
            {"source_address": "10.1.1.1", "headers": {"x-forwarded-for": ["203.0.113.5"]}},
            YES,
        ),
        *((When(FixedCondition(outcome)), ALICE, {}, outcome) for outcome in Outcome),
    ],
)
def test_a_condition_key_reads_its_fact(condition, principal, request_, outcome):
    """Each key is satisfied by exactly what it names."""
    assert compile_condition(condition, SET)(make_facts(Request(**request_), principal)) is outcome


@pytest.mark.parametrize(
    ("held", "errored", "outcome"),
    [({"a"}, (), YES), ({"c"}, (), NO), ((), {"b"}, ERROR), ({"a"}, {"b"}, YES), ({"c"}, {"d"}, NO)],
)
def test_a_role_held_beats_one_that_errored_beats_none(held, errored, outcome):
    """Over the roles of one key SATISFIED beats ERRORED."""
    facts = make_facts(principal=ALICE, roles=RoleHolding(frozenset(held), frozenset(errored)))
    assert compile_condition(RoleIs(frozenset({"a", "b"})), SET)(facts) is outcome


@pytest.mark.parametrize("kind", RuleKind)
def test_within_a_rule_unsatisfied_beats_errored_beats_satisfied_in_any_order(kind):
    """And a `require` is a deny of its negation, errors included."""
    flipped = {YES: NO, NO: YES, ERROR: ERROR}
    for outcomes in itertools.product(Outcome, repeat=3):
        expected = NO if NO in outcomes else ERROR if ERROR in outcomes else YES
        verdict = CompiledRule(make_rule(kind, *fixed(*outcomes)), SET).verdict(make_facts())
        assert verdict.outcome is (flipped[expected] if kind is RuleKind.REQUIRE else expected), outcomes
        assert verdict.effect is (Effect.ALLOW if kind is RuleKind.ALLOW else Effect.DENY)


def rules(*, deny=(), require=(), allow=()):
    kinds = ((RuleKind.DENY, deny), (RuleKind.REQUIRE, require), (RuleKind.ALLOW, allow))
    made = {
        kind: tuple(make_rule(kind, *fixed(outcome), name=str(i)) for i, outcome in enumerate(outcomes))
        for kind, outcomes in kinds
    }
    return RouteRules(
        make_route(deny=made[RuleKind.DENY], require=made[RuleKind.REQUIRE], allow=made[RuleKind.ALLOW]), SET
    )


@pytest.mark.parametrize(
    ("lists", "anonymous", "reason"),
    [
        ({"deny": [YES], "require": [NO], "allow": [YES]}, False, Reason.DENIED_BY_POLICY),
        ({"deny": [ERROR, YES], "allow": [YES]}, False, Reason.DENIED_BY_POLICY),
        ({"deny": [ERROR], "require": [NO], "allow": [YES]}, False, Reason.REQUIREMENT_FAILED),
        ({"deny": [ERROR], "allow": [YES]}, False, Reason.EVALUATION_ERROR),
        ({"require": [ERROR], "allow": [YES]}, True, Reason.EVALUATION_ERROR),
        ({"require": [YES], "allow": [NO]}, False, Reason.NO_MATCHING_ALLOW),
        ({"allow": [NO, ERROR]}, False, Reason.EVALUATION_ERROR),
        ({"allow": [NO, ERROR]}, True, Reason.CREDENTIAL_MISSING),
        ({"allow": [NO]}, True, Reason.CREDENTIAL_MISSING),
        ({"deny": [YES], "allow": [YES]}, True, Reason.DENIED_BY_POLICY),
        ({"require": [NO], "allow": [YES]}, True, Reason.REQUIREMENT_FAILED),
    ],
)
def test_the_reason_says_which_kind_of_rule_decided(lists, anonymous, reason):
    """A satisfied deny before a failed requirement before an error; the anonymous are asked for a credential."""
    compiled = rules(**lists)
    decision = compiled.decide(make_facts()).combined
    assert decision.effect is Effect.DENY
    assert compiled.reason(decision, anonymous=anonymous) is reason


def test_every_satisfied_allow_is_named():
    """An allow lists all the rules that say so, and the errors beside them."""
    decision = rules(deny=[NO], require=[YES], allow=[YES, NO, ERROR, YES]).decide(make_facts()).combined
    assert decision.policies == ("route.allow.0", "route.allow.3")
    assert decision.errors == ("route.allow.2",)


class FromHeader:
    """A condition whose outcome is what a header of the request says."""

    text = "from a header"
    span = SPAN
    reads: frozenset[tuple[str, ...]] = frozenset()

    def __init__(self, header):
        self.header = header

    def evaluate(self, facts):
        return Outcome(facts.request.header_values(self.header)[0])


def test_a_decision_is_that_of_its_own_request_whatever_was_decided_before():
    """Combinations of verdicts are remembered, as many as there is room for; each is decided as if it were new."""
    kinds = (RuleKind.DENY, RuleKind.REQUIRE, RuleKind.ALLOW)
    made = {kind: [make_rule(kind, When(FromHeader(f"{kind}-{i}")), name=str(i)) for i in range(2)] for kind in kinds}
    route = make_route(deny=made[RuleKind.DENY], require=made[RuleKind.REQUIRE], allow=made[RuleKind.ALLOW])
    remembering = RouteRules(route, SET)
    names = [f"{kind}-{i}" for kind in kinds for i in range(2)]
    by_number: dict[int, tuple[Outcome, ...]] = {}
    for outcomes in [*itertools.product(Outcome, repeat=len(names))] * 2:
        headers = {name: [str(outcome)] for name, outcome in zip(names, outcomes, strict=True)}
        facts = make_facts(request=Request(headers=headers))
        ruling = remembering.decide(facts)
        assert ruling.combined == RouteRules(route, SET).decide(facts).combined, outcomes
        assert by_number.setdefault(ruling.number, outcomes) == outcomes


def test_rulings_of_different_routes_have_different_numbers():
    """A number stands for one route's ruling for as long as the process lives, also when the route is gone."""
    numbers = [RouteRules(make_route(), SET).decide(make_facts()).number for _ in range(100)]
    assert len(set(numbers)) == 100


@pytest.mark.parametrize(("condition", "looks"), [(ScopeIs(("a",)), True), (Authenticated(), False)])
def test_only_a_rule_about_scopes_makes_a_denial_depend_on_more_than_the_verdicts(condition, looks):
    """Which scopes a challenge names is found out by evaluating the rule's conditions again."""
    assert RouteRules(make_route(allow=(make_rule(RuleKind.ALLOW, condition),)), SET).looks_for_scopes is looks


@pytest.mark.parametrize(
    ("conditions", "scopes"),
    [
        ([ScopeIs(("a", "b"))], ("a", "b")),
        ([Authenticated(), ScopeIs(("a",))], ("a",)),
        ([ScopeIs(("a",)), SubjectIs(("bob",))], ()),
        ([ScopeIs(("a",)), *fixed(ERROR)], ()),
        ([SubjectIs(("bob",))], ()),
    ],
)
def test_missing_scopes_are_told_only_when_a_scope_alone_is_missing(conditions, scopes):
    """The challenge must not suggest that a scope would help when more is missing."""
    route = make_route(allow=(make_rule(RuleKind.ALLOW, *conditions),))
    assert RouteRules(route, SET).missing_scopes(make_facts(principal=ALICE)) == scopes
