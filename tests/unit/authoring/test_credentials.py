import pytest

from extauthz.authoring import credentials
from extauthz.authoring.credentials import Credential, Side, credentials_of, unions
from extauthz.authoring.truth import BoundHitError
from extauthz.model.policy import PolicySet
from tests.policies import HEAD, policy_set

MAPPED = HEAD + "    claims: {roles: roles, groups: groups, scopes: scope}\n"
ROLES = "roles: {reader: {}, clerk: {inherits: [reader]}, admin: {}, unused: {}}\n"
KEYS = "".join(
    f"- {{sha256: '{letter * 64}', subject: {subject}, {asserted}}}\n"
    for letter, subject, asserted in (
        ("a", "robot", "roles: [reader]"),
        ("b", "droid", "roles: [reader]"),
        ("c", "alice", "scopes: [s]"),
    )
)


def side(route: str, head: str = MAPPED + ROLES, files: dict[str, str] | None = None) -> Side:
    parsed: PolicySet = policy_set(f"{head}routes: [{{path: /, {route}}}]\n", files)
    return Side(parsed, parsed.routes[0])


def found(*sides: Side, any_subject: bool = False) -> list[str]:
    """Every credential in short."""
    return [
        "-" if c is None else " ".join((c.subject, *c.roles, *c.groups, *c.scopes))
        for c in credentials_of(sides, any_subject=any_subject)
    ]


def test_roles_that_rules_tell_apart():
    """One of those that answer alike; none that nobody asks for."""
    assert found(side("allow: [{role: reader}, {role: admin}]")) == [
        "-",
        "somebody",
        "somebody admin",
        "somebody clerk",
        "somebody admin clerk",
    ]


def test_both_sets_ask():
    """A role that one of them tells from another."""
    assert found(side("allow: [{role: reader}]"), side("allow: [{role: clerk}]")) == [
        "-",
        "somebody",
        "somebody clerk",
        "somebody reader",
    ]


def test_groups_scopes_and_subjects():
    """Of rules and of bindings that give what a rule asks for."""
    bound = "bindings: [{role: admin, subjects: [{subject: alice}, {group: staff}]}]\n"
    assert found(side("allow: [{scope: [s, t]}]", MAPPED + ROLES + bound)) == ["-", "somebody", "somebody s"]
    names = found(side("allow: [{role: admin}]", MAPPED + ROLES + bound))
    assert {"alice", "somebody staff", "alice admin staff"} <= set(names)


def test_routes_that_look_at_no_credential_have_nobody():
    """What is presented does not matter there."""
    assert found(side("public: true")) == ["-"]


def test_what_sets_make_of_a_credential():
    """Unknown providers are refused; undeclared roles, and what may not be asserted or is not mapped, are dropped."""
    asserted = Credential("corp", "alice", ("reader", "gone"), ("g",), ("s",))
    caller = side("allow: [{role: reader}]").principal(asserted)
    assert caller is not None
    assert (caller.subject, caller.roles, caller.groups, caller.scopes) == ("alice", ("reader",), ("g",), ("s",))
    caller = side("allow: [{role: reader}]", MAPPED + "    may_assert: {scopes: [t]}\n" + ROLES).principal(asserted)
    assert caller is not None
    assert (caller.roles, caller.groups, caller.scopes) == ((), (), ())
    caller = side("allow: [{role: reader}]", HEAD + ROLES).principal(asserted)
    assert caller is not None
    assert caller.roles == ()
    assert side("allow: [{role: reader}]").principal(Credential("other", "alice")) is None


def test_api_keys_are_themselves():
    """One of those that are alike to both sets; all of them where something reads who holds them."""
    head = f"version: 1\nproviders: {{keys: {{api_keys: {{file: keys.yaml}}, may_assert: all}}}}\n{ROLES}"
    it = side("allow: [{role: reader}]", head, {"keys.yaml": KEYS})
    assert found(it) == ["-", "robot reader", "alice s"]
    assert found(it, any_subject=True) == ["-", "robot reader", "droid reader", "alice s"]
    key = Credential("keys", "robot", api_key="a" * 64)
    caller = it.principal(key)
    assert caller is not None
    assert (caller.subject, caller.roles) == ("robot", ("reader",))
    assert it.principal(Credential("keys", "robot", api_key="d" * 64)) is None


def test_unions_are_the_smallest():
    """One set of values for each union of answers."""
    assert unions({"a": [1], "b": [1], "c": [2], "d": [1, 2]}) == [(), ("a",), ("c",), ("d",)]


def test_kinds_are_bounded(monkeypatch):
    """Many roles that all differ are more than there is time for."""
    monkeypatch.setattr(credentials, "MAX_KINDS", 4)
    with pytest.raises(BoundHitError):
        unions({letter: [letter] for letter in "abcd"})
    with pytest.raises(BoundHitError):
        found(side("allow: [{role: reader}, {role: admin}, {scope: s}]"))
