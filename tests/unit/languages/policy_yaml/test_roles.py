import pytest

from extauthz.languages.policy_yaml.roles import Grants
from extauthz.model.policy import Role
from tests.policies import HEAD, ROUTE, errors, policy_set


def roles(text: str) -> dict[str, Role]:
    return dict(policy_set(f"{HEAD}roles: {text}\n{ROUTE}").roles)


def test_roles_have_what_they_inherit():
    """At any depth, each once."""
    read = roles("{a: {permissions: [p]}, b: {inherits: [a], permissions: [q]}, c: {inherits: [b, a]}, d: {}}")
    assert read["c"] == Role("c", frozenset("abc"), frozenset("pq"))
    assert read["d"] == Role("d", frozenset("d"), frozenset())


def test_every_cycle_is_reported_once():
    """However many roles lead into it."""
    text = "{a: {inherits: [b]}, b: {inherits: [a, c]}, c: {inherits: [d]}, d: {inherits: [c]}, e: {inherits: [a]}}"
    found = errors(f"{HEAD}roles: {text}\n{ROUTE}")
    assert found == [
        ("EAZ304", "a role inherits from itself: 'a' -> 'b' -> 'a'"),
        ("EAZ304", "a role inherits from itself: 'c' -> 'd' -> 'c'"),
    ]


def test_inheritance_is_no_recursion():
    """A long chain of roles is read as a short one is."""
    count = 3000
    chain = ", ".join(f"r{n}: {{inherits: [r{n + 1}]}}" for n in range(count))
    read = roles(f"{{{chain}, r{count}: {{permissions: [p]}}}}")
    assert (len(read["r0"].closure), read["r0"].permissions) == (count + 1, frozenset("p"))


@pytest.mark.parametrize(
    ("granted", "permission", "holds"),
    [
        ("a:b", "a:b", True),
        ("a:b", "a:bc", False),
        ("a:*", "a:b", True),
        ("a:*", "a:b:c", True),
        ("a:*", "a", False),
        ("a:*", "ab:c", False),
        ("a:b:*", "a:c:d", False),
        ("*", "anything", True),
        ("a.c", "abc", False),
    ],
)
def test_a_permission_grants_itself_or_what_its_wildcard_covers(granted, permission, holds):
    """Literal, but for a final `:*`, and `*` alone."""
    table = Grants({"r": Role("r", frozenset("r"), frozenset({granted}))})
    assert table.roles_for(permission) == frozenset("r" if holds else "")


def test_all_roles_that_grant_a_permission_are_found():
    """Themselves or by inheritance."""
    read = roles("{a: {permissions: ['x:*']}, b: {inherits: [a]}, c: {permissions: [y]}, d: {permissions: ['*']}}")
    table = Grants(read)
    assert table.roles_for("x:1") == frozenset("abd")
    assert table.roles_for("z") == frozenset("d")
    assert set(table.permissions) == {"x:*", "y", "*"}
