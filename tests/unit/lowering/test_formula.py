"""Formulas are compared, by value, with the conjunctions that they become: Kleene's three values, every assignment."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.lowering import expression as cel
from extauthz.lowering.formula import (
    ALWAYS,
    MAX_POLICIES,
    NEVER,
    All,
    Cel,
    Formula,
    Match,
    NotExactError,
    Some,
    all_hold,
    conjunctions,
    constant,
    is_always,
    is_never,
    negation,
    one_holds,
)

TESTS = ("t0", "t1")
EXPRESSIONS = ("e0", "e1")
LEAVES: list[Formula] = [*(Match({"name": t}) for t in TESTS), *(Cel(cel.name(e)) for e in EXPRESSIONS)]


def kleene_and(values):
    values = list(values)
    return False if False in values else (None if None in values else True)


def kleene_or(values):
    values = list(values)
    return True if True in values else (None if None in values else False)


def kleene_not(value):
    return None if value is None else not value


def of_principal(principal, truth):
    """What Envoy makes of a principal; the leaves' truths are given."""
    match principal:
        case {"any": True}:
            return True
        case {"not_id": inner}:
            return not of_principal(inner, truth)
        case {"and_ids": {"ids": ids}}:
            return all(of_principal(i, truth) for i in ids)
        case {"or_ids": {"ids": ids}}:
            return any(of_principal(i, truth) for i in ids)
        case {"name": name}:
            return truth[name]
        case unknown:
            raise AssertionError(unknown)


def of_expr(expr, truth):
    """What Envoy makes of an expression; None is an error."""
    call = expr.call_expr
    match call.function:
        case "_&&_":
            return kleene_and(of_expr(a, truth) for a in call.args)
        case "_||_":
            return kleene_or(of_expr(a, truth) for a in call.args)
        case "!_":
            return kleene_not(of_expr(call.args[0], truth))
        case _:
            return truth[expr.ident_expr.name]


def of_formula(formula, truth):
    match formula:
        case Match(principal):
            return of_principal(principal, truth)
        case Cel(expr):
            return of_expr(expr, truth)
        case All(parts):
            return kleene_and(of_formula(p, truth) for p in parts)
        case Some(parts):
            return kleene_or(of_formula(p, truth) for p in parts)
        case unknown:
            raise AssertionError(unknown)


def matches(conjunction, truth):
    principal, condition = conjunction
    return (principal is None or of_principal(principal, truth)) and (
        condition is None or of_expr(condition, truth) is True
    )


def assignments():
    for tests in product([True, False], repeat=len(TESTS)):
        for expressions in product([True, False, None], repeat=len(EXPRESSIONS)):
            yield dict(zip((*TESTS, *EXPRESSIONS), (*tests, *expressions), strict=True))


formulas = st.recursive(
    st.sampled_from([*LEAVES, ALWAYS, NEVER]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: all_hold(*parts)),
        st.lists(inner, max_size=3).map(lambda parts: one_holds(*parts)),
        inner.map(negation),
    ),
    max_leaves=8,
)


@given(formulas)
def test_some_policy_matches_exactly_when_the_formula_is_true(formula):
    """Neither more nor less, whichever tests hold and whichever expressions err."""
    policies = conjunctions(formula)
    for truth in assignments():
        assert any(matches(p, truth) for p in policies) is (of_formula(formula, truth) is True)


@given(formulas)
def test_a_negation_is_true_when_the_formula_is_false_and_not_when_it_errs(formula):
    """A deny that errs must not let anybody through."""
    negated = negation(formula)
    for truth in assignments():
        assert of_formula(negated, truth) == kleene_not(of_formula(formula, truth))


def test_what_is_constant_is_seen():
    """A formula that never holds becomes no policy at all."""
    assert is_always(all_hold())
    assert is_never(one_holds())
    assert is_never(all_hold(LEAVES[0], NEVER))
    assert is_always(one_holds(LEAVES[2], ALWAYS))
    assert conjunctions(NEVER) == ()
    assert (constant(True), constant(False)) == (ALWAYS, NEVER)


def test_a_formula_that_takes_too_many_policies_is_not_exact():
    """Alternatives that mix tests and CEL multiply."""
    mixed = one_holds(LEAVES[0], LEAVES[2])
    assert len(conjunctions(all_hold(*[mixed] * 6))) == MAX_POLICIES
    with pytest.raises(NotExactError, match="more than 64 native policies"):
        conjunctions(all_hold(*[mixed] * 7))
    with pytest.raises(NotExactError, match="more than 64"):
        conjunctions(Some((all_hold(*[mixed] * 6), all_hold(*[mixed] * 6))))
