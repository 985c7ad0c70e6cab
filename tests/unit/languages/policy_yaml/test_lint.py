import pytest

from tests.policies import HEAD, parse, warnings

MAPPED = HEAD + "    claims: {roles: roles}\n"
TENANT = "has(claims.tenant) && claims.tenant == path.tenant"


def found(text: str, head: str = HEAD, files: dict[str, str] | None = None) -> list[str]:
    """The codes of what is unwise."""
    return [code for code in warnings(head + text, files, with_lint=True) if code >= "EAZ907"]


def routes(*written: str) -> str:
    return "routes:\n" + "".join(f"  - {{{route}}}\n" for route in written)


def test_only_those_who_ask_are_told():
    """Lint is no part of reading a set."""
    text = HEAD + routes("path: /, allow: [{authenticated: true}, {scope: s}]")
    assert warnings(text) == []
    assert warnings(text, with_lint=True) == ["EAZ907"]


@pytest.mark.parametrize(
    ("route", "codes"),
    [
        ("path: /, allow: [{authenticated: true}, {scope: s}]", ["EAZ907"]),
        ("path: /, allow: [{authenticated: true, scope: s}, {scope: t}]", []),
        ("path: /, authentication: optional, allow: [{authenticated: true}, {scope: s}]", []),
        ("path: /, authentication: optional, allow: [{scope: s}, {anyone: true}]", ["EAZ907"]),
        ("path: /, public: true", []),
    ],
)
def test_allows_beside_one_that_allows_all(route, codes):
    """Where credentials are optional, `authenticated` is a condition of its own."""
    assert found(routes(route)) == codes


@pytest.mark.parametrize(
    ("head", "given", "without"),
    [
        (HEAD, "", ["r", "boss"]),
        (HEAD, "bindings: [{role: r, subjects: [{group: g}]}]\n", ["boss"]),
        (HEAD, "bindings: [{role: boss, subjects: [{group: g}]}]\n", []),
        (MAPPED, "", []),
        (MAPPED + "    may_assert: {roles: [boss]}\n", "", []),
        (MAPPED + "    may_assert: none\n", "", ["r", "boss"]),
    ],
)
def test_roles_that_nobody_has(head, given, without):
    """A binding, a token or an API key gives a role, and all that it inherits."""
    text = "roles: {r: {}, boss: {inherits: [r]}}\n" + given + routes("path: /, allow: [{role: r}]")
    messages = [d.message for d in parse(head + text, with_lint=True).warnings if d.code == "EAZ908"]
    assert messages == [f"nobody ever has the role '{role}'" for role in without]


def test_roles_of_api_keys():
    """A key has its roles without asserting them."""
    keys = "- {sha256: '" + "a" * 64 + "', subject: robot, roles: [r]}\n"
    text = "version: 1\nproviders: {k: {api_keys: {file: k.yaml}, may_assert: all}}\nroles: {r: {}}\n"
    assert found(routes("path: /, allow: [{role: r}]"), text, {"k.yaml": keys}) == []


@pytest.mark.parametrize(
    ("permission", "codes"),
    [("a:b", []), ("a:*", []), ("b:*", ["EAZ909"]), ("a:c", ["EAZ909"]), ("*", ["EAZ914"])],
)
def test_permissions(permission, codes):
    """One that no rule asks for, and the one that is all."""
    text = f"roles: {{r: {{permissions: ['{permission}']}}, s: {{permissions: ['a:b']}}}}\n"
    assert found(text + routes("path: /, allow: [{permission: 'a:b'}]"), MAPPED) == codes


@pytest.mark.parametrize(
    ("rest", "literal", "codes"),
    [
        ("allow: [{authenticated: true}]", "allow: [{scope: s}]", ["EAZ910"]),
        ("public: true", "allow: [{authenticated: true}]", ["EAZ910"]),
        ("allow: [{scope: s}]", "allow: [{scope: t}]", []),
        ("allow: [{scope: s}]", "allow: [{authenticated: true}]", []),
        ("allow: [{scope: s}]", "allow: [{scope: s}], require: [{remote_ip: 192.0.2.0/24}]", ["EAZ910"]),
        ("methods: [GET], allow: [{authenticated: true}]", "methods: [PUT], allow: [{scope: s}]", []),
        ("host: a.example, allow: [{authenticated: true}]", "allow: [{scope: s}]", []),
    ],
)
def test_rests_that_ask_for_less(rest, literal, codes):
    """For the paths below a literal one."""
    assert found(routes(f'path: "/a/**", {rest}', f"path: /a/b, {literal}")) == codes


def test_paths_with_a_rest_of_their_own():
    """What lies below belongs to that."""
    assert (
        found(
            routes(
                'path: "/a/**", allow: [{authenticated: true}]',
                "path: /a/b, allow: [{scope: s}]",
                'path: "/a/b/**", allow: [{scope: s}]',
            )
        )
        == []
    )


@pytest.mark.parametrize(
    ("route", "codes"),
    [
        ("path: /, authentication: optional, allow: [{anyone: true}]", ["EAZ911"]),
        ("path: /, authentication: none, allow: [{anyone: true}]", ["EAZ911"]),
        ("path: /, authentication: optional, allow: [{authenticated: true}]", []),
        ("path: /, public: true", []),
    ],
)
def test_headers_of_nobody(route, codes):
    """Where a set names callers to its upstreams. What is public is meant to be."""
    headers = 'upstream_headers: {set: {x-user: "{principal.subject}", x-set: shop}}\n'
    assert found(headers + routes(route)) == codes
    assert found("upstream_headers: {set: {x-set: shop}}\n" + routes(route)) == []


@pytest.mark.parametrize(
    ("rule", "codes"),
    [
        ("when: \"'x-key' in request.headers\"", ["EAZ912"]),
        ("anyone: true, when: \"request.headers['x-key'] == 'a'\"", ["EAZ912"]),
        ("scope: s, when: \"'x-key' in request.headers\"", []),
        ("when: \"'x-key' in request.headers && has(claims.a)\"", []),
        ("scope: s, when: \"request.headers['x-real-ip'] == '192.0.2.1'\"", ["EAZ912"]),
    ],
)
def test_headers_that_are_believed(rule, codes):
    """Alone, or as an address."""
    assert found(routes(f"path: /, authentication: optional, allow: [{{{rule}}}]")) == codes


def test_headers_that_give_roles():
    """As an address."""
    text = "roles: {r: {}}\nbindings: [{role: r, provider: corp, when: \"request.headers['forwarded'] == 'a'\"}]\n"
    assert found(text + routes("path: /, allow: [{role: r}]")) == ["EAZ912"]


def test_roles_that_are_scoped_and_asserted():
    """By the same name; one that inherits it is another way, by intent."""
    text = f"roles: {{r: {{}}, boss: {{inherits: [r]}}}}\nbindings: [{{role: r, provider: corp, when: {TENANT}}}]\n"
    text += routes('path: "/{tenant}", allow: [{role: r}]')
    assert found(text, MAPPED) == ["EAZ913"]
    assert found(text, MAPPED + "    may_assert: {roles: [boss]}\n") == []


def test_findings_have_places():
    """As all have."""
    text = HEAD + "roles: {r: {permissions: [a]}}\n" + routes("path: /, allow: [{scope: s}]")
    assert [str(d.span) for d in parse(text, with_lint=True).warnings] == ["policy.yaml:9:9", "policy.yaml:9:27"]
