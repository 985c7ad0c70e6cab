import pytest

from extauthz.model.policy import Anyone, Authentication, HostPattern, LiteralSegment, Route, VariableSegment
from tests.policies import HEAD, ROLES, TWO_PROVIDERS, codes, only_route, policy_set

ALLOW = "allow: [{authenticated: true}]"


def routes(text: str, head: str = HEAD) -> list[Route]:
    return list(policy_set(f"{head}{ROLES}{text}").routes)


def test_what_is_left_out_has_its_default():
    """Any host, any method but CONNECT and TRACE, authentication required, all providers, no cross-origin callers."""
    (route,) = routes(f"routes: [{{name: a, path: /a, {ALLOW}}}]\n", TWO_PROVIDERS)
    assert (route.host, route.methods, route.authentication) == (None, None, Authentication.REQUIRED)
    assert (route.providers, route.cors_origins, route.public) == (("corp", "partner"), (), False)


def test_the_nearest_word_holds():
    """Route over inner group over outer group over defaults."""
    text = f"""\
defaults: {{host: d.example, authentication: optional, providers: [corp], cors: {{origins: ["https://d.example"]}}}}
routes:
  - {{name: plain, path: /, {ALLOW}}}
  - group:
      prefix: /g
      host: g.example
      providers: [partner]
      routes:
        - {{name: outer, path: /o, {ALLOW}}}
        - group:
            authentication: required
            cors: none
            routes:
              - {{name: inner, path: /i, {ALLOW}}}
              - {{name: own, path: /x, host: "*", providers: [corp, partner], {ALLOW}}}
"""
    plain, outer, inner, own = routes(text, TWO_PROVIDERS)
    assert (plain.host, plain.providers) == (HostPattern("d.example"), ("corp",))
    assert (outer.host, outer.providers, outer.authentication) == (HostPattern("g.example"), ("partner",), "optional")
    assert (outer.cors_origins, inner.cors_origins) == (("https://d.example",), ())
    assert (inner.authentication, inner.path.text) == ("required", "/g/i")
    assert (own.host, own.providers) == (None, ("corp", "partner"))


def test_rules_add_up_the_nearest_first():
    """A route's own, its groups' from the inside out, the set's."""
    text = """\
deny: [{name: s, scope: s}]
require: [{name: s, scope: s}]
allow: [{name: s, scope: s}]
routes:
  - group:
      name: out
      deny: [{name: o, scope: s}]
      allow: [{name: o, scope: s}]
      routes:
        - group:
            prefix: /in
            require: [{scope: s}]
            routes: [{name: r, path: /, deny: [{scope: s}], allow: [{scope: s}]}]
"""
    (route,) = routes(text)
    assert [rule.id for rule in route.deny] == ["r.deny.0", "out.deny.o", "set.deny.s"]
    assert [rule.id for rule in route.require] == ["/in.require.0", "set.require.s"]
    assert [rule.id for rule in route.allow] == ["r.allow.0", "out.allow.o", "set.allow.s"]


def test_a_group_of_the_same_name_has_its_own_rule_ids():
    """Each rule of a set has one."""
    group = "{group: {prefix: /a, allow: [{scope: s}], routes: [{path: /%s}]}}"
    first, second = routes(f"routes: [{group % 'x'}, {group % 'y'}]\n")
    assert [rule.id for rule in (*first.allow, *second.allow)] == ["/a.allow.0", "/a#2.allow.0"]


def test_a_public_route_lets_anyone_pass_and_runs_denies():
    """One rule that says so; the group's and the set's allow rules say nothing there."""
    text = """\
allow: [{role: admin}]
deny: [{name: d, when: "request.host == 'a'"}]
routes: [{group: {allow: [{role: reader}], routes: [{name: p, path: /p, public: true}]}}]
"""
    (route,) = routes(text)
    assert (route.public, route.authentication) == (True, Authentication.NONE)
    assert [(rule.id, rule.conditions) for rule in route.allow] == [("p.public", (Anyone(),))]
    assert [rule.id for rule in route.deny] == ["set.deny.d"]


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("path: /a", "ANY /a"),
        ("path: '/a/{b}', methods: [PUT, GET]", "GET,PUT /a/{b}"),
        ("path: /a, methods: [HEAD]", "HEAD /a"),
        ("path: /a, host: A.example", "ANY a.example/a"),
        ("path: /a, host: '*.a.example'", "ANY *.a.example/a"),
        ("grpc: a.B/C", "POST /a.B/C"),
        ("grpc: a.B/*", "POST /a.B/{method}"),
    ],
)
def test_a_route_without_a_name_is_called_by_what_it_matches(route, name):
    """Stable, and readable in a log."""
    assert only_route(f"{HEAD}routes: [{{{route}, {ALLOW}}}]\n").name == name


def test_grpc_methods_are_paths():
    """`POST /package.Service/Method`; a star is any method of the service."""
    one, any_method = routes(f"routes: [{{grpc: a.B/C, {ALLOW}}}, {{grpc: a.B/*, {ALLOW}}}]\n")
    assert (one.methods, one.path.segments) == (frozenset({"POST"}), (LiteralSegment("a.B"), LiteralSegment("C")))
    assert any_method.path.segments == (LiteralSegment("a.B"), VariableSegment("method"))


def test_get_serves_head():
    """RFC 9110 section 9.3.2."""
    assert only_route(f"{HEAD}routes: [{{path: /, methods: [GET], {ALLOW}}}]\n").methods == frozenset({"GET", "HEAD"})


@pytest.mark.parametrize(
    ("route", "code"),
    [
        ("path: /, grpc: a.B/C", "EAZ207"),
        ("name: x", "EAZ207"),
        ("grpc: a.B/C, methods: [POST]", "EAZ207"),
        ("grpc: a/b/c", "EAZ206"),
        ("grpc: /a.B/C", "EAZ206"),
        ("path: /, methods: [get]", "EAZ509"),
        ("path: /, methods: ['*']", "EAZ509"),
        ("path: /, methods: []", "EAZ204"),
        ("path: /, host: a b", "EAZ502"),
        ("path: /, providers: [ghost]", "EAZ302"),
        ("path: /, name: ' a'", "EAZ206"),
        ("path: /, authentication: optinal", "EAZ205"),
        ("path: /, cors: some", "EAZ205"),
    ],
)
def test_routes_that_match_nothing_clear_are_refused(route, code):
    """With one finding for one mistake."""
    assert codes(f"{HEAD}routes: [{{{route}, {ALLOW}}}]\n") == [code]


def test_a_broken_prefix_is_reported_once():
    """Not for each of its routes."""
    group = f"{{group: {{prefix: a, routes: [{{path: /x, {ALLOW}}}, {{path: /y, {ALLOW}}}]}}}}"
    assert codes(f"{HEAD}routes: [{group}]\n") == ["EAZ503"]


def test_headers_merge_and_the_nearest_entry_wins():
    """Set or removed; by name, in order."""
    text = """\
upstream_headers: {set: {x-b: set, x-c: set}, remove: [x-a]}
routes:
  - group:
      upstream_headers: {set: {x-a: group}, remove: [x-c]}
      allow: [{authenticated: true}]
      routes:
        - {name: r, path: /r, upstream_headers: {set: {x-b: route}}}
        - {name: s, path: /s}
  - {name: t, path: /t, allow: [{authenticated: true}]}
"""

    def shown(route: Route) -> dict[str, str | None]:
        return {h.name: h.template[0].text if h.template else None for h in route.upstream_headers}

    r, s, t = routes(text)
    assert shown(r) == {"x-a": "group", "x-b": "route", "x-c": None}
    assert shown(s) == {"x-a": "group", "x-b": "set", "x-c": None}
    assert shown(t) == {"x-a": None, "x-b": "set", "x-c": "set"}
