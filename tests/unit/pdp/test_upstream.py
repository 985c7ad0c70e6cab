import pytest

from extauthz.model.access import ANONYMOUS, Principal, RoleHolding
from extauthz.model.policy import TemplatePart, UpstreamHeader
from extauthz.pdp.upstream import UpstreamHeaderInvalidError, UpstreamRenderer
from tests.strategies import make_facts

ALICE = Principal(True, "alice", "corp", groups=("staff", "ops"), claims={"n": 3, "f": 1.5, "b": True, "o": {"k": "v"}})
OWNED = ("x-user", "x-roles")


def header(name, *parts):
    return UpstreamHeader(name, tuple(TemplatePart(path=p) if isinstance(p, tuple) else TemplatePart(p) for p in parts))


def render(*headers, principal=ALICE, roles=None, **path):
    return UpstreamRenderer(headers, OWNED).render(make_facts(principal=principal, roles=roles, **path))


def value(*parts, **kwargs):
    return dict(render(header("x-user", *parts), **kwargs).set).get("x-user")


def test_every_owned_header_is_set_or_removed_in_every_spelling():
    """What is set is not removed, its `_` spellings are; what is not set is removed whole."""
    changes = render(header("x-user", ("principal", "subject")))
    assert changes.set == (("x-user", "alice"),)
    assert set(changes.remove) == {"x_user", "x-roles", "x_roles"}


def test_an_anonymous_caller_carries_no_owned_header_on():
    """An absent fact removes the header that a client may have forged."""
    changes = render(header("x-user", ("principal", "subject")), principal=ANONYMOUS)
    assert changes.set == ()
    assert set(changes.remove) == {"x-user", "x_user", "x-roles", "x_roles"}


def test_a_route_may_remove_headers_of_its_own():
    """`remove` adds to what is removed anyway."""
    assert "cookie" in render(UpstreamHeader("cookie", None)).remove


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((("principal", "provider"),), "corp"),
        ((("principal", "groups"),), "staff,ops"),
        ((("principal", "scopes"),), None),
        ((("principal", "roles"),), "editor,reader"),
        (("user:", ("principal", "subject")), "user:alice"),
        (("user:", ("claims", "missing")), None),
        ((("claims", "n"),), "3"),
        ((("claims", "f"),), "1.5"),
        ((("claims", "b"),), "true"),
        ((("claims", "o", "k"),), "v"),
        ((("claims", "n", "k"),), None),
        ((("path", "id"),), "7"),
        (("constant",), "constant"),
    ],
)
def test_a_template_reads_facts(parts, expected):
    """Scalars as JSON writes them, lists joined by commas; nothing when a part is absent or empty."""
    roles = RoleHolding(frozenset({"reader", "editor"}))
    assert value(*parts, roles=roles, id="7") == expected


@pytest.mark.parametrize(
    "claim",
    ["a\r\nx-admin: 1", "\x00", "é", " a", "a ", "\t", {"k": "v"}, ["a,b"], ["a", ""], [["a"]], [None], ["a b", " c"]],
)
def test_what_a_header_cannot_carry_faithfully_is_refused(claim):
    """Control characters, non-ASCII, outer spaces, objects, and lists whose elements could be read as several."""
    with pytest.raises(UpstreamHeaderInvalidError):
        value(("claims", "c"), principal=Principal(True, "s", "p", claims={"c": claim}))


def test_roles_that_could_not_be_determined_are_not_sent():
    """A backend must not read a list that lacks a role for a reason it cannot see."""
    with pytest.raises(UpstreamHeaderInvalidError):
        value(("principal", "roles"), roles=RoleHolding(frozenset({"a"}), frozenset({"b"})))


@pytest.mark.parametrize(
    ("parts", "follows"),
    [
        (("constant",), True),
        ((("principal", "subject"), ":", ("principal", "groups")), True),
        ((("claims", "o", "k"),), True),
        ((("principal", "roles"),), False),
        ((("path", "id"),), False),
        ((("principal", "subject"), ("path", "id")), False),
    ],
)
def test_headers_follow_from_the_caller_unless_a_path_or_roles_are_in_them(parts, follows):
    """Only what is the same on all of a caller's requests may be kept; a binding's condition may read the request."""
    assert UpstreamRenderer([header("x-user", *parts)], OWNED).follows_from_principal is follows
