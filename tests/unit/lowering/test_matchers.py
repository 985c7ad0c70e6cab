"""Regular expressions are tried with RE2, as Envoy does, against the reading of paths and hosts that they stand for."""

from typing import Any

import re2
from hypothesis import example, given
from hypothesis import strategies as st

from extauthz.errors import HostInvalidError, PathAmbiguousError
from extauthz.lowering import matchers
from extauthz.lowering.formula import as_principal
from extauthz.model.policy import PathSettings, TrailingSlash
from extauthz.pdp.canonical import PathReader, canonical_host
from extauthz.pdp.routes import RouteTable
from tests.strategies import make_host, make_pattern, make_route

PIECES = st.sampled_from(
    ["/", "a", "orders", ".", "..", "...", "%41", "%2F", ";", "#", "\\", " ", "é", "//", "~", "*", ":"]
)
PATHS = st.lists(PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces))
PATTERNS = ("/", "/a", "/a/{x}", "/a/**", "/{x}/b", "/{x}/**", "/**", "/a.b/{x}", "/a+/c")


def full(regex, text):
    return re2.fullmatch(regex, text) is not None


@given(PATHS)
@example("/a/.hidden/..b/c")
@example("/a/")
def test_a_plain_path_is_its_own_canonical_form(path):
    """What is plain needs no second look: only one final slash is cut."""
    if not full(matchers.PLAIN_PATH, path):
        return
    assert "/" + "/".join(PathReader(PathSettings()).read(path)) == (path.rstrip("/") or "/")


@given(PATHS)
def test_what_is_refused_is_never_plain(path):
    """A path that is answered 400 is left to the authorizer."""
    try:
        PathReader(PathSettings()).read(path)
    except PathAmbiguousError:
        assert not full(matchers.PLAIN_PATH, path)


@given(st.text("aZ0.-_:[]@,/ é", max_size=12))
@example("shop.example.:80")
@example("[::1]:80")
def test_what_is_no_host_is_never_plain(host):
    """Nor is a host that is answered 400."""
    try:
        canonical_host(host)
    except HostInvalidError:
        assert not full(matchers.PLAIN_HOST, host)


@given(PATHS, st.sampled_from(PATTERNS), st.sampled_from(TrailingSlash))
def test_a_plain_path_matches_as_the_route_table_says(path, pattern, trailing_slash):
    """Segment by segment, as the trie walks."""
    if not full(matchers.PLAIN_PATH, path):
        return
    segments = PathReader(PathSettings(trailing_slash=trailing_slash)).read(path)
    owns = RouteTable([(make_route(pattern), 1)]).find("h", segments) is not None
    assert full(matchers.path_regex(make_pattern(pattern).segments, trailing_slash), path) is owns


@given(
    st.lists(st.sampled_from(["shop", "example", "a", "SHOP"]), min_size=1, max_size=3).map(".".join),
    st.sampled_from(["", ".", ":80", ".:8443"]),
    st.sampled_from(["shop.example", "*.example", "*.shop.example"]),
)
def test_a_plain_host_matches_as_the_route_table_says(name, end, pattern):
    """Whatever its case and port."""
    host = name + end
    owns = RouteTable([(make_route("/", host=pattern), 1)]).find(canonical_host(host), ()) is not None
    principal: Any = as_principal(matchers.host(make_host(pattern)))
    assert full(principal["header"]["string_match"]["safe_regex"]["regex"], host) is owns


def test_literals_are_escaped():
    """What an author writes is never read as an expression."""
    assert matchers.path_regex(make_pattern("/a.b(c)").segments, TrailingSlash.DISTINCT) == r"/a\.b\(c\)"
    assert not full(matchers.path_regex(make_pattern("/a.b").segments, TrailingSlash.SAME), "/axb")


def test_a_scope_stands_between_spaces():
    """Not within another scope, and not across two."""

    def in_text(scope):
        value = matchers.scope_or_member([scope])
        return value["or_match"]["value_matchers"][0]["string_match"]["safe_regex"]["regex"]

    for text, found in {"a.b": True, "x a.b": True, "a.b x": True, "xa.b": False, "a.bx": False, "aXb": False}.items():
        assert full(in_text("a.b"), text) is found, text
    assert full(in_text("a.b"), "line\nfeed a.b")
    assert "or_match" not in matchers.scope_or_member(["with space"])
    assert "or_match" not in matchers.scope_or_member([""])


def test_a_header_value_is_visible_ascii():
    """As the authorizer renders upstream headers."""
    for text, fits in {"a": True, "a b": True, " a": False, "a ": False, "": False, "é": False, "a\n": False}.items():
        assert full(matchers.HEADER_TEXT, text) is fits, text
    assert not re2.search(matchers.SINGLE_HEADER, "a,b")
    assert re2.search(matchers.SINGLE_HEADER, "a b-c~")
