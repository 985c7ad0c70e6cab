"""The tree of choices is evaluated here by the CEL library; that Envoy evaluates it alike, tests/differential shows."""

import itertools

import pytest
from cel_expr_python import cel

from extauthz.lowering.callers import caller_of
from extauthz.lowering.formula import NotExactError
from extauthz.lowering.role_header import MAX_ROLES, roles_format
from extauthz.model.decision import Outcome
from extauthz.model.policy import Binding, BindingSubject, Role
from extauthz.model.provider import ClaimMapping, ClaimPath, MayAssert
from tests.harness.authn import make_provider
from tests.strategies import SPAN, FixedCondition, make_policy_set, make_route

ROLES = {
    "editor": Role("editor", frozenset({"editor", "reader"}), frozenset()),
    "reader": Role("reader", frozenset({"reader"}), frozenset()),
    "spare": Role("spare", frozenset({"spare"}), frozenset()),
}
NESTED = ClaimMapping(roles=(ClaimPath(("roles",)), ClaimPath(("realm", "roles"))), groups=(ClaimPath(("groups",)),))


def format_of(provider=None, roles=None, bindings=()):
    provider = provider or make_provider(claims=NESTED)
    policy_set = make_policy_set(make_route(), roles=roles or ROLES, bindings=bindings)
    return roles_format(policy_set, make_route(), caller_of(provider), provider)


def written(text, **claims):
    """What the format string comes to for these claims."""
    environment = cel.NewEnv(variables={"metadata": cel.Type.DYN})
    payload = {"filter_metadata": {"envoy.filters.http.jwt_authn": {"claims_corp": {"sub": "alice", **claims}}}}
    expression = text.removeprefix("%CEL(").removesuffix(")%")
    return environment.compile(expression).eval(data={"metadata": payload}).value()


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({}, ""),
        ({"roles": []}, ""),
        ({"roles": ["reader"]}, "reader"),
        ({"roles": "editor"}, "editor,reader"),
        ({"roles": ["spare", "unknown", "reader"]}, "reader,spare"),
        ({"roles": None, "realm": {"roles": ["spare"]}}, "spare"),
        ({"realm": {}}, ""),
        ({"realm": None, "roles": ["reader"]}, "reader"),
    ],
)
def test_roles_are_expanded_sorted_and_joined(claims, roles):
    """As the authorizer writes them; where there are none, the header is left out."""
    assert written(format_of(), **claims) == roles


def test_every_combination_has_its_leaf():
    """Two to the power of the roles."""
    for chosen in itertools.chain.from_iterable(itertools.combinations(("reader", "spare"), n) for n in range(3)):
        assert written(format_of(), roles=list(chosen)) == ",".join(chosen)


def test_bindings_add_roles():
    """To a subject, to a group that may be asserted, to all of a provider."""
    bindings = (
        Binding("spare", (BindingSubject(subject="alice"),), None, SPAN),
        Binding("editor", (BindingSubject(group="staff", subject="bob"), BindingSubject(provider="other")), None, SPAN),
    )
    assert written(format_of(bindings=bindings)) == "spare"
    assert written(format_of(bindings=bindings), sub="bob", groups=["staff"]) == "editor,reader"
    assert written(format_of(bindings=bindings), sub="bob", groups="other") == ""
    everyone = (Binding("reader", (BindingSubject(provider="corp"),), None, SPAN),)
    assert written(format_of(bindings=everyone)) == "reader"


def test_what_may_not_be_asserted_is_not_written():
    """Neither a role nor a group that would bind one."""
    limited = make_provider(claims=NESTED, may_assert=MayAssert(frozenset({"reader"}), frozenset(), frozenset()))
    bindings = (Binding("spare", (BindingSubject(group="staff"),), None, SPAN),)
    text = format_of(limited, bindings=bindings)
    assert written(text, roles=["editor", "reader", "spare"], groups=["staff"]) == "reader"
    nothing = make_provider(claims=NESTED, may_assert=MayAssert(frozenset(), frozenset(), frozenset()))
    assert format_of(nothing) is None


def test_a_role_in_doubt_is_not_exact():
    """A binding with a condition may hold on one request and not on another."""
    bindings = (Binding("spare", (BindingSubject(provider="corp"),), FixedCondition(Outcome.SATISFIED), SPAN),)
    with pytest.raises(NotExactError, match="not written in CEL"):
        format_of(bindings=bindings)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([f"r{n}" for n in range(MAX_ROLES + 1)], "more than 6 roles"),
        (["a,b"], "letters, digits"),
        (["a)%"], "cannot hold"),
    ],
)
def test_what_a_format_string_cannot_hold_is_not_exact(names, why):
    """Too many roles, or names that mean something there."""
    roles = {name: Role(name, frozenset({name}), frozenset()) for name in names}
    with pytest.raises(NotExactError, match=why):
        format_of(roles=roles)
