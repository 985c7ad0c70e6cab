import pytest

from tests.policies import HEAD, ROLES, TWO_PROVIDERS, codes, errors, policy_set, warnings

ALLOW = "allow: [{authenticated: true}]"


def routes(*items: str, head: str = HEAD, more: str = "") -> str:
    return f"{head}{ROLES}{more}routes: [{', '.join(items)}]\n"


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("path: /a", "path: /a", True),
        ("path: /a", "path: /a/", True),
        ("path: '/{x}'", "path: '/{y}'", True),
        ("path: '/**'", "path: '/{y=**}'", True),
        ("path: /a, methods: [GET]", "path: /a, methods: [HEAD]", True),
        ("path: /a", "path: /a, methods: [PATCH]", True),
        ("path: /a, host: A.example", "path: /a, host: a.example", True),
        ("grpc: a.B/C", "path: /a.B/C, methods: [POST]", True),
        ("path: /a, methods: [GET]", "path: /a, methods: [POST]", False),
        ("path: /a", "path: /a, methods: [TRACE, CONNECT]", False),
        ("path: /a", "path: /a, host: a.example", False),
        ("path: /a, host: '*.example'", "path: /a, host: '*.a.example'", False),
        ("path: /a", "path: '/{x}'", False),
        ("path: '/{x}'", "path: '/**'", False),
        ("path: /a", "path: /A", False),
    ],
)
def test_routes_overlap_where_they_own_the_same_requests(one, other, overlap):
    """Same host, same shape of path, a method in common; whatever the names of variables."""
    text = routes(f"{{name: one, {one}, {ALLOW}}}", f"{{name: other, {other}, {ALLOW}}}")
    if overlap:
        assert codes(text) == ["EAZ505"]
    else:
        assert len(policy_set(text).routes) == 2


def test_distinct_trailing_slashes_are_two_paths():
    """Then a route for each is no overlap."""
    text = routes(f"{{path: /a, {ALLOW}}}", f"{{path: /a/, {ALLOW}}}", more="paths: {trailing_slash: distinct}\n")
    assert len(policy_set(text).routes) == 2


@pytest.mark.parametrize(
    ("route", "code"),
    [
        ("path: /a", "EAZ506"),
        ("path: /a, public: false", "EAZ506"),
        ("path: /a, allow: [{anyone: true}]", "EAZ602"),
        ("path: /a, allow: [{anyone: true, remote_ip: 10.0.0.0/8}]", "EAZ602"),
        ("path: /a, public: true, allow: [{authenticated: true}]", "EAZ507"),
        ("path: /a, public: true, authentication: none", "EAZ507"),
        ("path: /a, public: true, providers: [corp]", "EAZ507"),
        ("path: /a, authentication: none, allow: [{authenticated: true}]", "EAZ603"),
        ("path: /a, authentication: none, allow: [{scope: s, remote_ip: 10.0.0.0/8}]", "EAZ603"),
        ("path: /a, authentication: none, allow: [{role: admin}]", "EAZ603"),
        ("path: /a, authentication: none, allow: [{permission: 'orders:read'}]", "EAZ603"),
        ("path: /a, authentication: none, allow: [{anyone: true}, {subject: a}]", "EAZ603"),
    ],
)
def test_routes_that_cannot_work_are_refused(route, code):
    """Nobody, or everybody, would get through."""
    assert codes(routes(f"{{name: a, {route}}}")) == [code]


def test_an_allow_of_the_set_alone_is_none_of_the_route():
    """Every route says itself, or by its group, who may pass."""
    assert codes(routes("{path: /a}", more="allow: [{role: admin}]\n")) == ["EAZ506"]
    group = "{group: {allow: [{role: reader}], routes: [{path: /a}]}}"
    assert len(policy_set(routes(group, more="allow: [{role: admin}]\n")).routes[0].allow) == 2


def test_without_authentication_some_rule_must_hold():
    """A workload's role, an address, a condition, or anyone."""
    binding = "trust_domains: [d]\nbindings: [{role: reader, subjects: [{workload: 'spiffe://d/a'}]}]\n"
    ok = "{path: /a, authentication: none, allow: [{permission: 'orders:read'}]}"
    assert len(policy_set(routes(ok, more=binding)).routes) == 1
    assert codes(routes(ok.replace("permission: 'orders:read'", "role: admin"), more=binding)) == ["EAZ603"]
    group = "{group: {authentication: none, allow: [{scope: s}], routes: [{path: /a%s}]}}"
    assert codes(routes(group % "")) == ["EAZ603"]
    assert len(policy_set(routes(group % ", allow: [{remote_ip: 10.0.0.0/8}]")).routes) == 1


def test_anyone_of_the_set_is_reported_once():
    """At the rule, with the first route where it is wrong."""
    text = routes(
        f"{{name: a, path: /a, authentication: optional, {ALLOW}}}",
        f"{{name: b, path: /b, {ALLOW}}}",
        f"{{name: c, path: /c, {ALLOW}}}",
        more="allow: [{anyone: true}]\n",
    )
    assert errors(text) == [("EAZ602", "the route 'b' requires authentication, so not anyone can pass")]


@pytest.mark.parametrize("rule", ["{subject: a}", "{group: a}", "{when: claims.x == 1}", "{when: has(claims.x)}"])
def test_several_providers_make_an_identity_ambiguous(rule):
    """Unless the rule says whose it is, or the route has one provider."""
    route = "{name: a, path: /a, allow: [%s]%s}"
    assert codes(routes(route % (rule, ""), head=TWO_PROVIDERS)) == ["EAZ409"]
    named = rule.replace("}", ", provider: corp}")
    assert len(policy_set(routes(route % (named, ""), head=TWO_PROVIDERS)).routes) == 1
    assert len(policy_set(routes(route % (rule, ", providers: [corp]"), head=TWO_PROVIDERS)).routes) == 1


def test_a_deny_may_read_claims_of_whichever_provider():
    """It can only narrow; subject and group are identities everywhere."""
    deny = "{path: /a, deny: [{%s}], allow: [{authenticated: true}]}"
    assert len(policy_set(routes(deny % "when: has(claims.x) && claims.x == 1", head=TWO_PROVIDERS)).routes) == 1
    assert codes(routes(deny % "subject: mallory", head=TWO_PROVIDERS)) == ["EAZ409"]


def test_a_rule_asks_for_providers_that_count():
    """On this route."""
    rule = "{path: /a, providers: [corp], allow: [{provider: [corp, partner]}]}"
    assert codes(routes(rule, head=TWO_PROVIDERS)) == ["EAZ302"]


def test_a_set_without_providers_has_nobody_to_authenticate():
    """Routes that look at no credential still work."""
    head = "version: 1\n"
    text = routes("{path: /a, public: true}", "{path: /b, authentication: none, allow: [{anyone: true}]}", head=head)
    assert policy_set(text).default_providers == ()
    assert codes(routes(f"{{path: /a, {ALLOW}}}", head=head)) == ["EAZ508"]


@pytest.mark.parametrize("kind", ["deny", "require", "allow"])
def test_rules_read_path_variables_that_their_routes_bind(kind):
    """Otherwise they would err on every request."""
    more = f"{kind}: [{{when: path.tenant == 'a'}}]\n"
    bound = f"{{path: '/{{tenant}}', {ALLOW}}}"
    assert len(policy_set(routes(bound, more=more)).routes) == 1
    assert codes(routes(bound, f"{{path: '/x/{{user}}', {ALLOW}}}", more=more)) == ["EAZ307"]


@pytest.mark.parametrize("guard", ["has(path.tenant)", "'tenant' in path"])
def test_a_rule_for_many_routes_may_ask_first(guard):
    """Then it errs nowhere."""
    more = f"deny: [{{when: \"{guard} && path.tenant == 'a'\"}}]\n"
    assert len(policy_set(routes(f"{{path: /x, {ALLOW}}}", more=more)).routes) == 1


@pytest.mark.parametrize(
    "when",
    [
        "request.headers['x-user'] == 'a'",
        "'x-user' in request.headers",
        "'x_user' in request.headers",
        "request.header_values['x-user'].size() == 1",
    ],
)
@pytest.mark.parametrize("kind", ["deny", "allow"])
def test_conditions_do_not_read_headers_that_the_policy_sets(when, kind):
    """Nobody can send them, in either spelling; a route that sets one makes it the set's."""
    owner = f"{{path: /o, {ALLOW}, upstream_headers: {{set: {{X-User: '{{principal.subject}}'}}}}}}"
    rule = f'{kind}: [{{when: "{when}"}}]'
    reader = f"{{path: /r, {rule}}}" if kind == "allow" else f"{{path: /r, {rule}, {ALLOW}}}"
    assert "EAZ704" in codes(routes(owner, reader))
    binding = f'bindings: [{{role: reader, when: "{when}"}}]\n'
    assert codes(routes(owner, more=binding)) == ["EAZ704"]


def test_a_header_that_is_only_removed_can_be_read():
    """It is taken from what is passed on, not from what callers send."""
    removed = "{path: /a, allow: [{when: \"request.headers['cookie'] == 'a'\"}], upstream_headers: {remove: [cookie]}}"
    assert policy_set(routes(removed)).owned_headers == ()


def test_owned_headers_are_those_that_some_route_sets():
    """Sorted; one that every route overrides with a removal is none."""
    more = "upstream_headers: {set: {x-b: b, x-a: a}}\n"
    one = f"{{path: /a, {ALLOW}, upstream_headers: {{remove: [x-b]}}}}"
    assert policy_set(routes(one, more=more)).owned_headers == ("x-a",)
    assert policy_set(routes(one, f"{{path: /b, {ALLOW}}}", more=more)).owned_headers == ("x-a", "x-b")


def test_credentials_are_not_overwritten():
    """A header that a policy sets is removed from requests before anybody looks for a token in it."""
    more = "upstream_headers: {set: {authorization: x}}\n"
    assert codes(routes(f"{{path: /a, {ALLOW}}}", more=more)) == ["EAZ703"]
    cookies = HEAD.replace("jwks:", "tokens: [{cookie: session}]\n    jwks:")
    more = "upstream_headers: {set: {cookie: x}}\n"
    assert codes(routes(f"{{path: /a, {ALLOW}}}", head=cookies, more=more)) == ["EAZ703"]


def test_templates_read_path_variables_that_some_route_binds():
    """A route's own template, those of its own path."""
    outer = "upstream_headers: {set: {x-id: '{path.id}'}}\n"
    binds, other = f"{{path: '/{{id}}', {ALLOW}}}", f"{{path: /x, {ALLOW}}}"
    assert len(policy_set(routes(binds, other, more=outer)).routes) == 2
    assert codes(routes(other, more=outer)) == ["EAZ307"]
    own = f"{{path: /x, {ALLOW}, upstream_headers: {{set: {{x-id: '{{path.id}}'}}}}}}"
    assert codes(routes(binds, own)) == ["EAZ307"]


def test_what_may_be_served_but_deserves_a_look():
    """An unguarded deny, a binding that never holds, a require that a public route cannot meet."""
    route = f"{{path: /a, {ALLOW}}}"
    assert warnings(routes(route, more="deny: [{when: claims.x == 1}]\n")) == ["EAZ902"]
    assert warnings(routes(route, more="deny: [{when: has(claims.x) && claims.x == 1}]\n")) == []
    assert warnings(routes(route, more="require: [{when: claims.x == 1}]\n")) == []
    assert warnings(routes(route, more="bindings: [{role: reader, when: path.x == '1'}]\n")) == ["EAZ905"]
    public = routes("{path: /a, public: true}", "{path: /b, public: true}", more="require: [{role: reader}]\n")
    assert warnings(public) == ["EAZ906"]


def test_names_are_given_once():
    """Routes to routes; `set` is what the set's own rules are called by."""
    a, b = f"{{name: x, path: /a, {ALLOW}}}", f"{{name: x, path: /b, {ALLOW}}}"
    assert codes(routes(a, b)) == ["EAZ303"]
    assert codes(routes(f"{{name: set, path: /a, {ALLOW}}}")) == ["EAZ303"]
    same = "{path: /a, allow: [{name: r, scope: s}, {name: r, scope: t}]}"
    assert codes(routes(same)) == ["EAZ303"]
