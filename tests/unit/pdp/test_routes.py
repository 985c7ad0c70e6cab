import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.model.policy import LiteralSegment, VariableSegment
from extauthz.pdp.routes import RouteTable
from tests.strategies import make_route


def table(*routes):
    return RouteTable((route, route) for route in routes)


def found(routes, host, path, method="GET"):
    segments = tuple(path.split("/")[1:]) if path != "/" else ()
    match = table(*routes).find(host, segments)
    if match is None:
        return None
    route = match[0].for_method(method)
    return (route.name if route else "nobody", match[1])


@pytest.mark.parametrize(
    ("patterns", "path", "owner", "captured"),
    [
        (["/a", "/{x}", "/**"], "/a", "/a", ()),
        (["/a", "/{x}", "/**"], "/b", "/{x}", ("b",)),
        (["/a", "/{x}", "/**"], "/b/c", "/**", ("b/c",)),
        (["/a", "/{x}", "/**"], "/", "/**", ("",)),
        (["/a/{x}", "/{y}/b"], "/a/b", "/a/{x}", ("b",)),
        (["/a/{x}/c", "/{y}/b/d"], "/a/b/d", "/{y}/b/d", ("a",)),
        (["/a", "/a/**"], "/a", "/a", ()),
        (["/a/**"], "/a", "/a/**", ("",)),
        (["/a/{x}/**", "/a/**"], "/a/b", "/a/{x}/**", ("b", "")),
        (["/a/{x}"], "/a/", None, ()),
        (["/a/"], "/a/", "/a/", ()),
        (["/{x}"], "/a/b", None, ()),
    ],
)
def test_the_most_specific_path_owns(patterns, path, owner, captured):
    """By segment: literal before variable before rest, with a way back when the narrower branch ends."""
    assert found([make_route(p) for p in patterns], "h", path) == ((owner, captured) if owner else None)


def test_the_host_comes_before_the_path():
    """Exact host, then the longest suffix, then any: each falls through only when it has no such path."""
    routes = [
        make_route("/a"),
        make_route("/**", host="*.example"),
        make_route("/x", host="*.b.example"),
        make_route("/x", host="a.b.example"),
    ]
    assert found(routes, "a.b.example", "/x") == ("a.b.example/x", ())
    assert found(routes, "c.b.example", "/x") == ("*.b.example/x", ())
    assert found(routes, "c.b.example", "/a") == ("*.example/**", ("a",))
    assert found(routes, "a.b.example", "/a") == ("*.example/**", ("a",))
    assert found(routes, "example", "/a") == ("/a", ())
    assert found(routes, "other", "/x") is None


def test_a_method_is_never_passed_on_to_a_wider_route():
    """The owner of the path answers for every method, if only to say no."""
    routes = [make_route("/a", methods=["GET"]), make_route("/{x}"), make_route("/a/{y}", methods=["PUT", "POST"])]
    assert found(routes, "h", "/a", "HEAD") == ("/a", ())
    assert found(routes, "h", "/a", "POST") == ("nobody", ())
    assert found(routes, "h", "/a", "get") == ("nobody", ())
    assert found(routes, "h", "/b", "PATCH") == ("/{x}", ("b",))
    assert found(routes, "h", "/b", "CONNECT") == ("nobody", ("b",))
    assert found(routes, "h", "/b", "TRACE") == ("nobody", ("b",))


SEGMENT = st.sampled_from(["a", "b", "{x}"])
PATTERN = st.builds(
    lambda head, tail: "/" + "/".join([*head, *tail]) if head or tail else "/",
    st.lists(SEGMENT, max_size=3),
    st.sampled_from([[], ["**"]]),
)


def rank(pattern, segments):
    """How specific a match is, segment by segment; None when there is none. The plainest statement of the rule."""
    ranks = []
    for i, segment in enumerate(pattern.segments):
        if isinstance(segment, LiteralSegment | VariableSegment):
            if i >= len(segments) or (isinstance(segment, LiteralSegment) and segment.text != segments[i]):
                return None
            ranks.append(2 if isinstance(segment, LiteralSegment) else 1)
        else:
            return [*ranks, 0]
    return [*ranks, 3] if len(segments) == len(pattern.segments) else None


@given(
    st.lists(st.tuples(st.sampled_from([None, "h.e", "*.e"]), PATTERN), max_size=8, unique=True),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=4),
    st.sampled_from(["h.e", "i.e", "o"]),
)
def test_the_trie_agrees_with_trying_every_route(patterns, segments, host):
    """The owner is the best of all matching routes by (host, path)."""
    routes = [make_route(path, host=h) for h, path in patterns]
    hosts = {None: 0, "*.e": 1 if host.endswith(".e") else None, "h.e": 2 if host == "h.e" else None}
    ranked = [
        ((hosts[h], rank(route.path, segments)), route.name)
        for (h, _), route in zip(patterns, routes, strict=True)
        if hosts[h] is not None and rank(route.path, segments) is not None
    ]
    match = table(*routes).find(host, tuple(segments))
    assert (match[0].for_method("GET").name if match else None) == (max(ranked)[1] if ranked else None)
