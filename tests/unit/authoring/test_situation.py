from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.situation import Survey
from extauthz.authoring.truth import Truths, steer
from extauthz.authorizer import build_snapshot
from tests.policies import HEAD, policy_set

A = "  - {name: a, path: /a, allow: [{authenticated: true}]}\n"
ITEM = '  - {name: item, path: "/items/{id}", methods: [GET, PUT], allow: [{when: "path.id == \'7\'"}]}\n'


def situations(old: str, new: str, more: str = "") -> list[tuple[str | None, str | None, tuple[str, ...], str]]:
    """Routes, methods and the first path of each."""
    truths = Truths(100)
    sides = [
        build_snapshot(steer(policy_set(text), truths), KeySets(), VerifiedTokens())
        for text in (f"{HEAD}routes:\n{old}", f"{HEAD}{more}routes:\n{new}")
    ]
    return [
        (
            s.pair.old.name if s.pair.old else None,
            s.pair.new.name if s.pair.new else None,
            tuple(s.methods),
            s.request.host + s.request.target,
        )
        for s in Survey(*sides).situations()
    ]


def test_routes_that_are_written_alike_are_none():
    """Their names, comments and order do not matter."""
    assert situations(A + ITEM, ITEM + A) == []
    assert situations(A, A.replace("name: a", "name: b")) == []
    assert situations(ITEM, ITEM.replace("path.id ==", "path.id  ==")) == []


def test_routes_that_differ_are_one_for_all_their_methods():
    """With each method once, and one for all that nobody names."""
    ((old, new, methods, place),) = situations(A, A.replace("authenticated: true", "scope: s"))
    assert (old, new, place) == ("a", "a", "any.example/a")
    assert methods[0] == "GET"
    assert {"HEAD", "POST", "OPTIONS", "X-OTHER-METHOD"} <= set(methods)
    assert "TRACE" not in methods


def test_methods_are_apart_where_conditions_read_them():
    """Each may come to something else."""
    new = A.replace("authenticated: true", "when: \"request.method in ['PATCH', 'GET']\"")
    found = situations(A, new)
    assert all(len(methods) == 1 for _, _, methods, _ in found)
    assert ("a", "a", ("PATCH",), "any.example/a") in found


def test_a_route_that_only_one_set_has():
    """The other has none, or a wider one."""
    assert situations(A, A + ITEM)[0] == (None, "item", ("GET", "HEAD", "PUT"), "any.example/items/id")
    wider = '  - {name: all, path: "/**", allow: [{scope: s}]}\n'
    assert ("all", "a", "any.example/a") in [(o, n, p) for o, n, _, p in situations(wider, wider + A)]


def test_what_sets_have_besides_makes_routes_differ():
    """A role, a binding or a provider may change what equal rules say."""
    assert len(situations(A, A, "roles: {r: {}}\n")) == 1


def test_variables_that_bind_other_segments_are_apart():
    """The same name for another segment is another value."""
    old = '  - {name: x, path: "/{a}/{b}", allow: [{when: "path.a == \'7\'"}]}\n'
    assert len(situations(old, old.replace("{a}/{b}", "{b}/{a}"))) == 1


def test_preflights_that_one_set_lets_pass():
    """For a method and an origin."""
    new = A.replace("path: /a", 'path: /a, cors: {origins: ["https://o.example"]}')
    (route, preflight) = situations(A, new)
    assert route[2][0] == "GET"
    assert preflight[2] == ("OPTIONS",)
