from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from extauthz.authoring.fact import (
    IMPOSSIBLE,
    MAX_FACTS,
    NOTHING_NEEDED,
    Alternatives,
    Fact,
    all_of,
    any_of,
    applied,
    only,
)
from extauthz.model.access import ANONYMOUS, Principal

A, B, C = (Fact("role", name) for name in "abc")
SETS = st.lists(st.frozensets(st.sampled_from([A, B, C]), max_size=3), max_size=4)


def holds(alternatives: Alternatives, so: frozenset[Fact]) -> bool:
    return any(facts <= so for facts in alternatives)


@given(left=SETS, right=SETS, so=st.frozensets(st.sampled_from([A, B, C])))
def test_algebra_is_that_of_and_and_or(left, right, so):
    """Whatever is so: one of them, or all of them, is so if the algebra says it."""
    one, other = any_of([tuple(left)]), any_of([tuple(right)])
    assert holds(one, so) is any(facts <= so for facts in left)
    assert holds(any_of([one, other]), so) is (holds(one, so) or holds(other, so))
    assert holds(all_of([one, other]), so) is (holds(one, so) and holds(other, so))


def test_smallest_sets_come_first_and_larger_ones_go():
    """A set that holds another one says nothing new."""
    assert any_of([(frozenset({A, B}),), only(A), (frozenset({B, C}),)]) == (frozenset({A}), frozenset({B, C}))
    assert all_of([]) == NOTHING_NEEDED
    assert any_of([]) == IMPOSSIBLE
    assert all_of([only(A), IMPOSSIBLE]) == IMPOSSIBLE


def test_many_facts_are_no_near_miss():
    """Beyond a number the set is dropped rather than shown."""
    facts = [only(Fact("role", str(n))) for n in range(MAX_FACTS + 1)]
    assert len(all_of(facts[:-1])) == 1
    assert all_of(facts) == IMPOSSIBLE


def test_presence_goes_without_saying():
    """Who says that a claim is 'x' has said that it is there."""
    present = Fact("claim", "claims.a is there", presence=("claims", "a"))
    equal = Fact("claim", "claims.a == 'x'", implies=frozenset({("claims", "a")}))
    assert all_of([only(present), only(equal)]) == (frozenset({equal}),)
    assert all_of([only(present), only(A)]) == (frozenset({present, A}),)


def test_facts_about_the_caller_can_be_made_so():
    """A credential first, then what is said of its holder; other facts cannot be made so."""
    someone = Principal(True, "s", "corp", derived={"kept": 1})
    credential = Fact("credential", "c", apply=lambda _: someone)
    role = Fact("role", "r", apply=lambda caller: replace(caller, roles=(*caller.roles, "r")))
    caller = applied([role, credential], ANONYMOUS)
    assert caller == Principal(True, "s", "corp", roles=("r",))
    assert caller is not None
    assert caller.derived == {}
    assert applied([role, A], someone) is None
