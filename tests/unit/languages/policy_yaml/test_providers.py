import pytest

from extauthz.languages.policy_yaml.providers import HMAC_ALGORITHMS, PUBLIC_KEY_ALGORITHMS
from extauthz.model.provider import ClaimMapping, ClaimPath, MayAssert, Provider, TokenLocation
from tests.policies import ROUTE, codes, policy_set, warnings


def text(more: str = "", algorithms: str = "[RS256]", audiences: str = "[shop]") -> str:
    return f"""\
version: 1
providers:
  corp:
    issuer: https://issuer.example
    audiences: {audiences}
    algorithms: {algorithms}
    jwks: {{uri: https://issuer.example/jwks}}
    {more}
roles: {{reader: {{}}}}
{ROUTE}"""


def provider(more: str = "", **fields: str) -> Provider:
    (only,) = policy_set(text(more, **fields)).providers
    return only


def test_what_is_left_out_has_the_narrowest_meaning():
    """The default header alone, the subject alone; one provider may assert what it maps, for nobody else does."""
    plain = provider()
    assert plain.tokens == (TokenLocation("authorization", "Bearer"),)
    assert plain.claims == ClaimMapping(ClaimPath(("sub",)))
    assert plain.may_assert == MayAssert()
    assert plain.clock_skew_seconds == 30


@pytest.mark.parametrize("key", ["issuer", "audiences", "algorithms", "jwks"])
def test_what_decides_who_is_believed_has_no_default(key):
    """It is written out."""
    lines = [line for line in text().splitlines() if not line.strip().startswith(key)]
    assert codes("\n".join(lines)) == ["EAZ202"]


def test_any_audience_is_written_out_and_linted():
    """As a word of its own: in a list it would be an audience of that name."""
    assert provider(audiences="any").audiences is None
    assert warnings(text(audiences="any")) == ["EAZ901"]
    assert codes(text(audiences="[any]")) == ["EAZ206"]
    assert codes(text(audiences="shop")) == ["EAZ205"]
    assert codes(text(audiences="[]")) == ["EAZ204"]


@pytest.mark.parametrize("algorithm", PUBLIC_KEY_ALGORITHMS)
def test_public_key_algorithms_are_accepted(algorithm):
    """RFC 7518 section 3.1 and RFC 8037."""
    assert provider(algorithms=f"[{algorithm}]").algorithms == (algorithm,)


@pytest.mark.parametrize("algorithms", ["[none]", "[None]", "[HS256]", "[RS256, HS256]", "[rs256]", "[RS1]", "[dir]"])
def test_unsafe_and_unknown_algorithms_are_refused(algorithms):
    """RFC 8725 sections 2.1 and 3.1."""
    assert codes(text(algorithms=algorithms)) == ["EAZ402"]


@pytest.mark.parametrize("algorithm", HMAC_ALGORITHMS)
def test_hmac_goes_with_a_secret_alone(algorithm):
    """Never with a key set, nor beside algorithms of public keys."""
    secret = text(algorithms=f"[{algorithm}]").replace("jwks: {uri: https://issuer.example/jwks}", "secret_file: s")
    assert policy_set(secret, {"s": "x"}).providers[0].algorithms == (algorithm,)
    assert codes(secret.replace(algorithm, "RS256"), {"s": "x"}) == ["EAZ402"]


def test_tokens_stand_in_headers_or_cookies():
    """Names in lower case, schemes as written."""
    tokens = "tokens: [{header: Authorization, scheme: DPoP}, {header: X-Token}, {cookie: Session}]"
    assert provider(tokens).tokens == (
        TokenLocation("authorization", "DPoP"),
        TokenLocation("x-token"),
        TokenLocation(cookie="Session"),
    )


@pytest.mark.parametrize("token", ["{}", "{header: a, cookie: b}", "{cookie: a, scheme: b}", "{scheme: a}"])
def test_a_token_stands_in_one_place(token):
    """A header or a cookie; only a header has a scheme."""
    assert codes(text(f"tokens: [{token}]")) == ["EAZ207"]


def test_token_places_are_names_of_http():
    """What no request can carry is a mistake."""
    assert codes(text("tokens: [{header: 'a b'}, {cookie: 'a=b'}, {header: a, scheme: 'B earer'}]")) == ["EAZ206"] * 3


@pytest.mark.parametrize(("written", "seconds"), [("0s", 0), ("500ms", 0.5), ("90s", 90), ("10m", 600)])
def test_clock_skew_is_a_short_duration(written, seconds):
    """In milliseconds, seconds or minutes."""
    assert provider(f"clock_skew: {written}").clock_skew_seconds == seconds


@pytest.mark.parametrize("written", ["601s", "1h", "'30'", "-1s", "1.5s", "s", "1d"])
def test_other_clock_skews_are_refused(written):
    """More than ten minutes lets expired tokens live on."""
    assert codes(text(f"clock_skew: {written}")) == ["EAZ206"]


def test_claims_are_paths():
    """Dotted, or key by key; `*` walks a list."""
    claims = provider("claims: {subject: a.b, roles: [r, {path: [x.y, '*']}], groups: g, scopes: {path: [s]}}").claims
    assert claims == ClaimMapping(
        ClaimPath(("a", "b")),
        (ClaimPath(("r",)), ClaimPath(("x.y", "*"))),
        (ClaimPath(("g",)),),
        (ClaimPath(("s",)),),
    )


@pytest.mark.parametrize("claims", ["subject: a..b", "roles: [.a]", "subject: 'a.*.b'", "groups: 'a.'"])
def test_other_claim_paths_are_refused(claims):
    """An empty key, or several subjects."""
    assert codes(text(f"claims: {{{claims}}}")) == ["EAZ206"]


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        ("all", MayAssert()),
        ("none", MayAssert(frozenset(), frozenset(), frozenset())),
        ("{roles: [reader]}", MayAssert(frozenset({"reader"}), frozenset(), frozenset())),
        ("{groups: [a, b]}", MayAssert(frozenset(), frozenset("ab"), frozenset())),
    ],
)
def test_may_assert_is_what_it_lists(written, limits):
    """An attribute that is left out may not be asserted at all."""
    assert provider(f"may_assert: {written}").may_assert == limits


def test_may_assert_names_declared_roles():
    """An empty one could be read as everything."""
    assert codes(text("may_assert: {roles: [ghost]}")) == ["EAZ301"]
    assert codes(text("may_assert: {}")) == ["EAZ204"]


def test_several_providers_say_what_they_may_assert():
    """And differ in their issuers."""
    other = (
        "  other: {issuer: 'https://issuer.example', audiences: [a], algorithms: [RS256], jwks: {discovery: true}}\n"
    )
    assert codes(text().replace("roles:", other + "roles:", 1)) == ["EAZ404", "EAZ404", "EAZ401"]
