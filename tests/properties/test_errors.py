"""An error never widens access: whichever condition cannot be evaluated, no deny becomes an allow.

Checked twice: on every decision case with each condition of its set broken in turn, and on generated sets.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import authorize, authorize_as, build_snapshot
from extauthz.check.request import read_check_request
from extauthz.model.access import Principal
from extauthz.model.decision import Decision, Effect, Outcome
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Authentication,
    Binding,
    BindingSubject,
    Condition,
    ConditionKey,
    PolicySet,
    Role,
    RoleIs,
    Rule,
    RuleKind,
    ScopeIs,
    When,
)
from tests.strategies import SPAN, FixedCondition, Request, make_policy_set, make_route, make_rule

NOW = time.time()  # noqa: TID251 - the corpus' tokens are minted now

Change = Callable[[Condition], Condition]


def with_conditions(policy_set: PolicySet, change: Change) -> PolicySet:
    """The set with every condition of a rule or a binding changed."""

    def changed_rules(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(dataclasses.replace(rule, conditions=tuple(map(changed_key, rule.conditions))) for rule in rules)

    def changed_key(key: ConditionKey) -> ConditionKey:
        return When(change(key.condition)) if isinstance(key, When) else key

    routes = tuple(
        dataclasses.replace(
            route,
            deny=changed_rules(route.deny),
            require=changed_rules(route.require),
            allow=changed_rules(route.allow),
        )
        for route in policy_set.routes
    )
    bindings = tuple(
        dataclasses.replace(binding, when=change(binding.when)) if binding.when is not None else binding
        for binding in policy_set.bindings
    )
    return dataclasses.replace(policy_set, routes=routes, bindings=bindings)


def conditions_of(policy_set: PolicySet) -> list[Condition]:
    """Every condition, each once."""
    found: dict[int, Condition] = {}

    def remember(condition: Condition) -> Condition:
        found[id(condition)] = condition
        return condition

    with_conditions(policy_set, remember)
    return list(found.values())


def broken_sets(policy_set: PolicySet) -> Iterator[PolicySet]:
    """The set with one condition that cannot be evaluated, for each; and with none that can."""
    errored = FixedCondition(Outcome.ERRORED)
    for target in conditions_of(policy_set):

        def broken(condition: Condition, target: Condition = target) -> Condition:
            return errored if condition is target else condition

        yield with_conditions(policy_set, broken)
    yield with_conditions(policy_set, lambda _: errored)


def test_no_case_is_allowed_by_breaking_a_condition(corpus):
    """Every decision case that is denied stays denied, whichever condition of its set fails."""
    denied, conditions = 0, 0
    for asked in corpus:
        requests = [read_check_request(message.SerializeToString()) for message in asked.messages]

        def decide(policy_set: PolicySet, requests=requests) -> list[object]:
            snapshot = build_snapshot(policy_set, KeySets(), VerifiedTokens())
            return [authorize(request, snapshot, NOW) for request in requests]

        before = decide(asked.policy_set)
        for broken in broken_sets(asked.policy_set):
            conditions += 1
            for was, is_now in zip(before, decide(broken), strict=True):
                assert isinstance(was, Decision)
                assert isinstance(is_now, Decision)
                if was.effect is Effect.DENY:
                    denied += 1
                    assert is_now.effect is Effect.DENY, (asked.name, was, is_now)
    assert conditions > 50, "the cases hardly read a condition"
    assert denied > 1000, "the cases hardly deny"


OUTCOMES = st.sampled_from(Outcome)
ROLES = ("reader", "editor", "admin")
KEYS = st.one_of(
    OUTCOMES.map(lambda outcome: When(FixedCondition(outcome))),
    st.frozensets(st.sampled_from(ROLES), min_size=1).map(RoleIs),
    st.sampled_from([Anyone(), Authenticated(), ScopeIs(("s",))]),
)


@st.composite
def rules(draw: st.DrawFn, kind: RuleKind) -> tuple[Rule, ...]:
    lists = draw(st.lists(st.lists(KEYS, min_size=1, max_size=3), max_size=3))
    return tuple(make_rule(kind, *keys, name=str(number)) for number, keys in enumerate(lists))


@st.composite
def policy_sets(draw: st.DrawFn) -> PolicySet:
    """One route under random rules; roles that inherit, bound with and without a condition."""
    closures = {"reader": {"reader"}, "editor": {"editor", "reader"}, "admin": {"admin", "editor", "reader"}}
    roles = {name: Role(name, frozenset(closure), frozenset()) for name, closure in closures.items()}
    whens = draw(
        st.lists(st.tuples(st.sampled_from(ROLES), st.one_of(st.none(), OUTCOMES.map(FixedCondition))), max_size=3)
    )
    bindings = tuple(Binding(role, (BindingSubject(subject="alice"),), when, SPAN) for role, when in whens)
    route = make_route(
        public=False,
        authentication=draw(st.sampled_from([Authentication.REQUIRED, Authentication.OPTIONAL])),
        deny=draw(rules(RuleKind.DENY)),
        require=draw(rules(RuleKind.REQUIRE)),
        allow=draw(rules(RuleKind.ALLOW)),
    )
    return make_policy_set(route, roles=roles, bindings=bindings)


PRINCIPALS = st.builds(
    Principal,
    authenticated=st.just(True),
    subject=st.sampled_from(["alice", "bob"]),
    provider=st.just("corp"),
    roles=st.sets(st.sampled_from(ROLES)).map(tuple),
    scopes=st.sampled_from([(), ("s",)]),
)


def decide_as(policy_set: PolicySet, principal: Principal) -> Decision:
    # The principal's derived facts belong to one set: a copy for each.
    mine = dataclasses.replace(principal, derived={})
    return authorize_as(Request(), build_snapshot(policy_set, KeySets(), VerifiedTokens()), NOW, mine)


@settings(max_examples=600, deadline=None)
@given(policy_set=policy_sets(), principal=PRINCIPALS)
def test_no_generated_set_allows_more_with_a_condition_broken(policy_set, principal):
    """Denies, requirements, allows and bindings in any mixture: what is denied stays denied."""
    assume(decide_as(policy_set, principal).effect is Effect.DENY)
    for broken in broken_sets(policy_set):
        assert decide_as(broken, principal).effect is Effect.DENY
