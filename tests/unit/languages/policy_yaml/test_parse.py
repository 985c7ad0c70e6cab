import gc

import pytest

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import SourceText, parse_policy_set
from extauthz.model.policy import OnAmbiguity, PathSettings, ResponseFormat, ResponseSettings, TrailingSlash
from tests.policies import HEAD, ROLES, ROUTE, codes, parse, policy_set


def no_file(path: str) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", path)


def test_a_set_without_files_is_none():
    """An empty folder denies nothing and allows nothing: it is a mistake."""
    with pytest.raises(PolicyError) as raised:
        parse_policy_set([], read_file=no_file)
    assert [diagnostic.code for diagnostic in raised.value.diagnostics] == ["EAZ109"]


def test_version_and_routes_are_needed():
    """A set that this program does not understand, or that decides nothing."""
    assert codes(HEAD) == ["EAZ501"]
    assert codes(HEAD.replace("version: 1\n", "") + ROUTE) == ["EAZ202"]
    assert codes(HEAD.replace("version: 1", "version: 2") + ROUTE) == ["EAZ208"]


def test_settings_are_read():
    """Paths, responses, proxies, trust domains; each with its default."""
    plain = policy_set(HEAD + ROUTE)
    assert (plain.paths, plain.responses, plain.trusted_proxies, plain.trust_domains) == (
        *(PathSettings(), ResponseSettings(), (), ()),
    )
    text = f"""\
{HEAD}{ROUTE}trust_domains: [d.example]
trusted_proxies: [10.0.0.0/8]
paths: {{dot_segments: keep, trailing_slash: distinct}}
responses: {{format: empty, realm: my shop, resource_metadata: "http://localhost/meta"}}
"""
    full = policy_set(text)
    assert full.trust_domains == ("d.example",)
    assert [str(network) for network in full.trusted_proxies] == ["10.0.0.0/8"]
    assert full.paths == PathSettings(dot_segments=OnAmbiguity.KEEP, trailing_slash=TrailingSlash.DISTINCT)
    assert full.responses == ResponseSettings(ResponseFormat.EMPTY, "my shop", "http://localhost/meta")


def test_the_default_providers_are_all_unless_said():
    """Whose credentials count where no route owns the request."""
    assert policy_set(HEAD + ROUTE).default_providers == ("corp",)
    machines = HEAD + "    may_assert: all\n  machines: {api_keys: {file: k}, may_assert: none}\n" + ROUTE
    files: dict[str, str | bytes] = {"k": f"- {{sha256: {'ab' * 32}, subject: s}}"}
    assert policy_set(machines, files).default_providers == ("corp", "machines")
    assert policy_set(machines + "defaults: {providers: [machines]}\n", files).default_providers == ("machines",)


def test_the_revision_is_a_digest_of_what_was_read():
    """Of the policy, of the files that it names, and of the values that it uses."""
    base = HEAD.replace("jwks: {uri: https://issuer.example/jwks}", "jwks: {file: k.json}")
    base = base.replace("[shop]", "['${AUDIENCE}']") + ROUTE
    one, two = '{"keys": [{"kty": "RSA"}]}', '{"keys": [{"kty": "EC"}]}'

    def revision(text: str, keys: str, **values: str) -> str:
        return policy_set(text, {"k.json": keys}, **values).revision

    first = revision(base, one, AUDIENCE="a")
    assert len(first) == 12
    assert first == revision(base, one, AUDIENCE="a", UNUSED="x")
    others = {revision(base + "# more\n", one, AUDIENCE="a"), revision(base, two, AUDIENCE="a")}
    assert len({first, *others, revision(base, one, AUDIENCE="b")}) == 4


def test_everything_wrong_is_reported_at_once_and_in_order():
    """Across files and kinds of mistakes."""
    sources = [
        SourceText(
            "b.yaml", f"{HEAD}{ROLES}routes:\n  - {{path: /a, allow: [{{role: ghost}}, {{when: nope}}]}}\n".encode()
        ),
        SourceText("a.yaml", b"vesion: 1\nroutes:\n  - {path: a, allow: [{}]}\n"),
    ]
    with pytest.raises(PolicyError) as raised:
        parse_policy_set(sources, read_file=no_file)
    found = [(d.span.file, d.span.line, d.code, d.path) for d in raised.value.diagnostics]
    assert found == [
        ("a.yaml", 1, "EAZ201", "vesion"),
        ("a.yaml", 3, "EAZ503", "routes[0].path"),
        ("a.yaml", 3, "EAZ601", "routes[0].allow[0]"),
        ("b.yaml", 13, "EAZ301", "routes[0].allow[0].role"),
        ("b.yaml", 13, "EAZ801", "routes[0].allow[1].when"),
    ]


def test_a_file_that_cannot_be_read_hides_only_what_needs_it():
    """Names of a broken file are not reported as undeclared."""
    sources = [
        SourceText("roles.yaml", b"roles: {reader: [\n"),
        SourceText("policy.yaml", f"{HEAD}routes:\n  - {{path: /a, alow: [], allow: [{{role: reader}}]}}\n".encode()),
    ]
    with pytest.raises(PolicyError) as raised:
        parse_policy_set(sources, read_file=no_file)
    assert [(d.span.file, d.code) for d in raised.value.diagnostics] == [
        ("policy.yaml", "EAZ201"),
        ("roles.yaml", "EAZ102"),
    ]


def test_references_are_the_files_that_were_read():
    """To be watched; certificate authorities are read elsewhere."""
    text = HEAD.replace("jwks: {uri: https://issuer.example/jwks}", "jwks: {file: k.json}") + ROUTE
    assert parse(text, {"k.json": '{"keys": [{}]}'}).references == ("k.json",)
    assert parse(HEAD + ROUTE).references == ()


def test_a_name_is_optional():
    """It only stands in logs."""
    assert policy_set(HEAD.replace("name: shop\n", "") + ROUTE).name == "policy"
    assert policy_set(HEAD + ROUTE).name == "shop"


@pytest.mark.parametrize("text", [HEAD + ROUTE, HEAD])
def test_the_garbage_collector_is_as_it_was(text):
    """Whether the text is a set or not, and whoever had switched it off."""
    for was_enabled in (True, False):
        (gc.enable if was_enabled else gc.disable)()
        try:
            parse_policy_set([SourceText("policy.yaml", text.encode())], read_file=no_file)
        except PolicyError:
            assert text == HEAD
        finally:
            is_enabled = gc.isenabled()
            gc.enable()
        assert is_enabled is was_enabled
