import re

from hypothesis import given
from hypothesis import strategies as st

from extauthz.lowering.routing import NOT_PLAIN, ids_of_listing, listed_origins, owned_paths, route_policies
from extauthz.model.policy import Route, TrailingSlash
from extauthz.pdp.canonical import PathReader, canonical_host
from extauthz.pdp.routes import RouteTable
from tests.harness.principals import HttpRequest, first_match
from tests.strategies import make_policy_set, make_route

PATTERNS = ("/", "/a", "/a/b", "/a/{x}", "/a/{y}/c", "/{x}/b", "/a/**", "/{z}/**", "/**")
HOSTS = (None, "shop.example", "*.example", "*.shop.example")
METHODS = (None, ("GET",), ("POST", "PUT"), ("HEAD",))


@st.composite
def route_lists(draw):
    """Routes of which no two claim the same method of one owner, as no set that loads does."""
    keys = draw(st.lists(st.tuples(st.sampled_from(HOSTS), st.sampled_from(PATTERNS)), min_size=1, unique=True))
    routes: list[Route] = []
    for host, pattern in keys:
        methods = draw(st.lists(st.sampled_from(METHODS), min_size=1, max_size=3, unique=True))
        if ("GET",) in methods and ("HEAD",) in methods:
            methods.remove(("HEAD",))
        routes += [
            make_route(pattern, host=host, methods=m, name=f"{len(routes)}-{host}{pattern}-{m}") for m in methods
        ]
    return routes


@given(
    route_lists(),
    st.sampled_from(["/", "/a", "/a/", "/a/b", "/b/b", "/a/x/c", "/a/x/d/e", "/x", "/a%20/b", "/a//b"]),
    st.sampled_from(["shop.example", "x.shop.example:80", "example", "other.example.", "a@b"]),
    st.sampled_from(["GET", "HEAD", "POST", "TRACE", "DELETE"]),
)
def test_the_first_policy_that_matches_names_the_owner(routes, path, host, method):
    """Whatever the routes, as the route table finds it."""
    policies = route_policies(owned_paths(make_policy_set(*routes)), TrailingSlash.SAME)
    found = first_match(policies, HttpRequest(method, path, host))
    if "%" in path or "//" in path or "@" in host:
        assert found == NOT_PLAIN
        return
    table = RouteTable((route, route.name) for route in routes)
    owner = table.find(canonical_host(host), PathReader(make_policy_set().paths).read(path))
    name = owner[0].for_method(method) if owner else None
    if owner is None:
        assert found is None
    elif name is None:
        assert found is not None
        assert found.endswith("b")
    else:
        assert found is not None
        assert found.endswith(f"a_{name}")


def test_names_stand_in_the_order_of_specificity():
    """However many there are: numbers have leading zeros."""
    routes = [make_route(f"/r{n}", name=f"r{n}") for n in range(12)]
    paths = owned_paths(make_policy_set(*routes, make_route("/**", name="rest")))
    names = [owned.id for path in paths for owned in path.routes]
    assert names == sorted(names)
    assert names[-1] == "1_13a_rest"


def test_what_is_not_plain_comes_first():
    """Before any route: `0` sorts before `1`."""
    policies = route_policies(owned_paths(make_policy_set(make_route("/"))), TrailingSlash.SAME)
    assert min(policies) == NOT_PLAIN
    assert first_match(policies, HttpRequest("GET", "/a//b", "shop.example")) == NOT_PLAIN


def test_a_routes_id_tells_which_origins_it_lists():
    """Whatever the route is called."""
    app, other = ("https://app.example",), ("*",)
    routes = [
        make_route(f"/{number}", name=name, cors_origins=origins)
        for number, (name, origins) in enumerate([("a", app), ("b", other), ("a0_x", ()), ("c", app), ("1_1a0_", ())])
    ]
    policy_set = make_policy_set(*routes)
    assert listed_origins(policy_set) == (app, other)
    ids = {owned.route.name: owned.id for path in owned_paths(policy_set) for owned in path.routes}
    for number, names in enumerate([{"a", "c"}, {"b"}]):
        assert {name for name, i in ids.items() if re.fullmatch(ids_of_listing(number), i)} == names
