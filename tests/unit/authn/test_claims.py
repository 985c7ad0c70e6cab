from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.authn.claims import principal_of
from extauthz.errors import ClaimInvalidError
from extauthz.model.provider import ClaimMapping, ClaimPath, MayAssert
from tests.harness.authn import ROLES, make_claims, make_provider


def _paths(value):
    if isinstance(value, str):
        return ClaimPath(tuple(value.split(".")))
    return tuple(_paths(path) for path in value)


def principal(claims, **mapping):
    may_assert = mapping.pop("may_assert", MayAssert())
    paths: dict[str, Any] = {name: _paths(value) for name, value in mapping.items()}
    return principal_of(make_provider(claims=ClaimMapping(**paths), may_assert=may_assert), claims, ROLES)


def test_attributes_come_from_their_paths():
    """Dotted paths, several paths of one attribute, and lists of objects; order kept, doubles dropped."""
    claims = {
        "sub": "alice",
        "realm_access": {"roles": ["editor", "ghost"]},
        "resource_access": {"shop": {"roles": ["reader", "editor"]}},
        "teams": [{"name": "a"}, {"name": "b"}, {"name": "a"}, {"other": "c"}, {"name": None}, None],
        "scope": " orders.read  orders.write ",
    }
    found = principal(
        claims, roles=["realm_access.roles", "resource_access.shop.roles"], groups=["teams.*.name"], scopes=["scope"]
    )
    assert found.authenticated
    assert (found.subject, found.provider) == ("alice", "corp")
    assert found.roles == ("editor", "reader")
    assert found.groups == ("a", "b")
    assert found.scopes == ("orders.read", "orders.write")
    assert found.claims is claims


@pytest.mark.parametrize(
    ("value", "groups", "scopes"),
    [
        ("one two", ("one two",), ("one", "two")),
        (["one two", "three"], ("one two", "three"), ("one two", "three")),
        ("tab\tline\nnbsp\u00a0end", ("tab\tline\nnbsp\u00a0end",), ("tab\tline\nnbsp\u00a0end",)),
        ([], (), ()),
        (None, (), ()),
        (..., (), ()),
    ],
)
def test_a_string_is_one_element_and_scopes_split_at_spaces(value, groups, scopes):
    """Only U+0020 separates scopes (RFC 8693 section 4.2); null and absence assert nothing."""
    found = principal(make_claims(x=value), groups=["x"], scopes=["x"])
    assert (found.groups, found.scopes) == (groups, scopes)


@pytest.mark.parametrize("value", [1, 1.5, True, False, {}, {"a": "b"}, [1], [None], [True], [["a"]], [{"a": "b"}]])
@pytest.mark.parametrize("attribute", ["roles", "groups", "scopes"])
def test_other_types_are_refused(value, attribute):
    """A mapped claim is a string or a list of strings, and nothing else."""
    with pytest.raises(ClaimInvalidError, match="claim x must be"):
        principal(make_claims(x=value), **{attribute: ["x"]})


@pytest.mark.parametrize(
    ("claims", "path"),
    [
        ({"a": "text"}, "a.b"),
        ({"a": ["text"]}, "a.b"),
        ({"a": {"b": 1}}, "a.*"),
        ({"a": "text"}, "a.*"),
        ({"a": [1]}, "a.*.b"),
    ],
)
def test_a_path_through_another_type_is_refused(claims, path):
    """Not only the claim itself, but what it leads through, has a type."""
    with pytest.raises(ClaimInvalidError):
        principal(make_claims(**claims), groups=[path])


@pytest.mark.parametrize("subject", [..., None, "", 7, True, ["alice"], {"name": "alice"}])
def test_a_subject_is_one_string(subject):
    """Missing, empty, or of another type: nobody is authenticated without a subject."""
    with pytest.raises(ClaimInvalidError):
        principal(make_claims(sub=subject))


def test_a_subject_cannot_be_several():
    """A path that walks a list must come to exactly one value."""
    assert principal({"ids": [{"v": "alice"}]}, subject="ids.*.v").subject == "alice"
    with pytest.raises(ClaimInvalidError):
        principal({"ids": [{"v": "alice"}, {"v": "bob"}]}, subject="ids.*.v")


@pytest.mark.parametrize("bad", ["a\0b", "\ud800", "a\udfff"])
def test_text_that_cannot_be_compared_is_refused_where_it_is_read(bad):
    """NUL and lone surrogates in mapped claims; elsewhere they are not read."""
    for mapping in ({"groups": ["x"]}, {"scopes": ["x"]}, {"roles": ["x"]}, {"subject": "x"}):
        with pytest.raises(ClaimInvalidError):
            principal(make_claims(x=bad), **mapping)
    assert principal(make_claims(x=bad)).subject == "alice"


def test_what_a_provider_may_not_assert_is_dropped():
    """`may_assert` bounds each attribute on its own."""
    claims = make_claims(r=["reader", "editor"], g=["staff", "root"], s="a b")
    mapping = {"roles": ["r"], "groups": ["g"], "scopes": ["s"]}
    some = MayAssert(frozenset({"reader"}), frozenset(), None)
    found = principal(claims, may_assert=some, **mapping)
    assert (found.roles, found.groups, found.scopes) == (("reader",), (), ("a", "b"))


def test_messages_hold_no_values():
    """A failure names the claim, never what it says."""
    with pytest.raises(ClaimInvalidError) as caught:
        principal(make_claims(x=["fine", {"secret": "value"}]), groups=["x"])
    assert "value" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.sampled_from("ab"), v),
)


@given(
    st.dictionaries(st.sampled_from(["sub", "a", "b"]), JSON),
    st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4),
)
def test_any_claims_are_mapped_or_refused(claims, keys):
    """No payload raises anything but our own error, and all that is mapped is text."""
    provider = make_provider(claims=ClaimMapping(groups=(ClaimPath(tuple(keys)),)))
    try:
        found = principal_of(provider, claims, ROLES)
    except ClaimInvalidError:
        return
    assert found.subject
    assert all(isinstance(group, str) for group in found.groups)
