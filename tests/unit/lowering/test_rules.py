"""What a rule asks of Envoy, for each kind of caller; tests/differential shows that Envoy answers as it should."""

import ipaddress

import pytest

from extauthz.lowering.callers import ANONYMOUS, ANYBODY, caller_of
from extauthz.lowering.formula import NotExactError, as_principal, conjunctions, is_always, is_never
from extauthz.lowering.rules import RuleLowering
from extauthz.model.decision import Outcome
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Authentication,
    Binding,
    BindingSubject,
    GroupIs,
    ProviderIs,
    RemoteIpIs,
    Role,
    RoleIs,
    RuleKind,
    ScopeIs,
    SubjectIs,
    When,
    WorkloadIs,
)
from extauthz.model.provider import MayAssert
from tests.harness.authn import make_provider
from tests.strategies import SPAN, FixedCondition, make_policy_set, make_route, make_rule

CORP = make_provider()
KNOWN = caller_of(CORP)
ROLES = {
    "reader": Role("reader", frozenset({"reader"}), frozenset()),
    "editor": Role("editor", frozenset({"editor", "reader"}), frozenset()),
}
NETWORK = ipaddress.ip_network("203.0.113.0/24")


def lowering(caller=KNOWN, route=None, notes=None, **fields):
    route = route or make_route(authentication=Authentication.REQUIRED)
    return RuleLowering(
        make_policy_set(route, roles=ROLES, **fields),
        route,
        caller,
        lambda binding, reason: notes.append((binding.role, reason)) if notes is not None else None,
    )


def holds(*conditions, caller=KNOWN, **more):
    return lowering(caller, **more).holds(make_rule(RuleKind.ALLOW, *conditions)).formula


@pytest.mark.parametrize(
    ("condition", "known", "anonymous"),
    [
        (Anyone(), True, True),
        (Authenticated(), True, False),
        (ProviderIs(("corp",)), True, False),
        (ProviderIs(("other",)), False, False),
    ],
)
def test_what_the_kind_of_caller_decides_is_constant(condition, known, anonymous):
    """No test is left for a request."""
    assert (is_always if known else is_never)(holds(condition))
    assert (is_always if anonymous else is_never)(holds(condition, caller=ANONYMOUS))


@pytest.mark.parametrize(
    "condition",
    [RoleIs(frozenset({"reader"})), ScopeIs(("s",)), GroupIs(("g",)), SubjectIs(("alice",))],
)
def test_the_anonymous_hold_nothing(condition):
    """Neither roles nor scopes, groups or a name."""
    assert is_never(holds(condition, caller=ANONYMOUS))
    assert not is_never(holds(condition))


def test_a_role_is_claimed_by_itself_or_by_one_that_inherits_it():
    """The token names roles as they were declared."""
    text = str(as_principal(holds(RoleIs(frozenset({"reader"})))))
    assert "'editor'" in text
    assert "'reader'" in text
    assert "'reader'" not in str(as_principal(holds(RoleIs(frozenset({"editor"})))))


def test_what_a_provider_may_not_assert_is_not_believed():
    """Roles, groups and scopes beyond `may_assert` are dropped."""
    limited = caller_of(make_provider(may_assert=MayAssert(frozenset({"reader"}), frozenset(), frozenset({"s"}))))
    assert "'editor'" not in str(as_principal(holds(RoleIs(frozenset({"reader"})), caller=limited)))
    assert is_never(holds(GroupIs(("g",)), caller=limited))
    assert is_never(holds(ScopeIs(("other",)), caller=limited))
    assert not is_never(holds(ScopeIs(("other", "s")), caller=limited))


def test_a_binding_adds_its_role():
    """To a subject, to a group, to a provider's callers; all keys of one item must fit."""
    bindings = (
        Binding("editor", (BindingSubject(subject="bob"), BindingSubject(group="staff", provider="other")), None, SPAN),
        Binding("reader", (BindingSubject(workload="spiffe://d/w"),), None, SPAN),
    )
    text = str(as_principal(holds(RoleIs(frozenset({"reader"})), bindings=bindings)))
    assert "'bob'" in text
    assert "staff" not in text
    everyone = (Binding("editor", (BindingSubject(provider="corp"),), None, SPAN),)
    assert is_always(holds(RoleIs(frozenset({"reader"})), bindings=everyone))


def test_a_binding_that_is_not_exact_leaves_the_rules_that_depend_on_it():
    """And is named; rules on other roles do not mind."""
    notes: list[tuple[str, str | None]] = []
    bindings = (Binding("editor", (BindingSubject(provider="corp"),), FixedCondition(Outcome.SATISFIED), SPAN),)
    with pytest.raises(NotExactError, match=r"the binding of editor at .*: it is not written in CEL"):
        holds(RoleIs(frozenset({"reader"})), bindings=bindings, notes=notes)
    assert notes == [("editor", "it is not written in CEL")]
    bindings = (Binding("reader", (BindingSubject(provider="corp"),), FixedCondition(Outcome.SATISFIED), SPAN),)
    assert not is_never(holds(RoleIs(frozenset({"editor"})), bindings=bindings))


def test_without_authentication_only_workloads_have_roles():
    """Which Envoy cannot tell as we do."""
    route = make_route(authentication=Authentication.NONE)
    assert is_never(holds(RoleIs(frozenset({"reader"})), caller=ANYBODY, route=route))
    bindings = (Binding("reader", (BindingSubject(workload="spiffe://d/w"),), None, SPAN),)
    with pytest.raises(NotExactError, match="mTLS peer"):
        holds(RoleIs(frozenset({"reader"})), caller=ANYBODY, route=route, bindings=bindings)


def test_an_address_is_the_peers_and_must_be_one():
    """Without one the rule errs: a deny must not be taken for unsatisfied, so the guard asks for one in any case."""
    for kind in (RuleKind.ALLOW, RuleKind.DENY):
        rule = make_rule(kind, RemoteIpIs((NETWORK,), direct=True))
        lowered = lowering().fails(rule) if kind is RuleKind.DENY else lowering().holds(rule)
        assert "203.0.113.0" in str(as_principal(lowered.formula))
        guard = str(as_principal(lowered.guards.formula()))
        assert "::ffff" in guard
        assert "203.0.113.0" not in guard


def test_a_forwarded_address_is_exact_only_where_no_proxy_is_trusted():
    """Envoy counts hops, we walk past what is trusted."""
    rule = RemoteIpIs((NETWORK,), direct=False)
    assert not is_never(holds(rule))
    with pytest.raises(NotExactError, match="X-Forwarded-For"):
        holds(rule, trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),))
    assert not is_never(
        holds(RemoteIpIs((NETWORK,), direct=True), trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),))
    )


@pytest.mark.parametrize("condition", [WorkloadIs(("spiffe://d/w",)), When(FixedCondition(Outcome.SATISFIED))])
def test_what_envoy_cannot_tell_is_not_exact(condition):
    """One such key is enough."""
    with pytest.raises(NotExactError):
        holds(Anyone(), condition)


def test_a_deny_is_certainly_unsatisfied_when_one_of_its_keys_is():
    """Each key is an alternative: one policy for it, all of tests."""
    rule = make_rule(RuleKind.DENY, SubjectIs(("alice",)), ScopeIs(("s",)))
    (conjunction,) = conjunctions(lowering().fails(rule).formula)
    assert conjunction.principal is not None
    assert [sorted(i) for i in conjunction.principal["or_ids"]["ids"]] == [["not_id"], ["not_id"]]
    assert is_never(lowering().fails(make_rule(RuleKind.DENY, Anyone())).formula)
