import pytest

from extauthz.model.provider import RemoteKeys, SharedSecret, StaticKeys
from tests.policies import ROUTE, codes, errors, policy_set


def provider(keys: str, algorithm: str = "RS256", issuer: str = "https://i.example") -> str:
    fields = f"issuer: '{issuer}', audiences: [s], algorithms: [{algorithm}], {keys}"
    return f"version: 1\nproviders:\n  a: {{{fields}}}\n{ROUTE}"


def keys(text: str, files: dict[str, str | bytes] | None = None):
    (only,) = policy_set(text, files).providers
    return only.keys


def test_key_sets_come_from_files_and_from_the_policy():
    """As JSON, with where they are from."""
    jwks = '{"keys": [{"kty": "RSA"}]}'
    assert keys(provider("jwks: {file: k.json}"), {"k.json": jwks}) == StaticKeys({"keys": [{"kty": "RSA"}]}, "k.json")
    assert keys(provider("jwks: {inline: {keys: [{kty: RSA}]}}")) == StaticKeys({"keys": [{"kty": "RSA"}]}, "inline")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"keys": {}}',
        '{"keys": []}',
        '{"keys": [1]}',
        '{"keys": [{}], "keys": [{}]}',
        '{"keys": [{"a": NaN}]}',
        b"\xff",
        "[" * 100_000,
        '{"keys": [{"a": ' + "9" * 5000 + "}]}",
    ],
)
def test_what_is_no_key_set_is_refused(content):
    """Whatever the file holds, the answer is a finding at its name."""
    assert codes(provider("jwks: {file: k.json}"), {"k.json": content}) == ["EAZ403"]


def test_remote_keys_are_fetched_from_a_safe_place():
    """https, or this machine, or what the author says about the network."""
    assert keys(provider("jwks: {uri: 'https://k.example/j', ca_file: ca.pem}")) == RemoteKeys(
        "https://k.example/j", ca_file="ca.pem"
    )
    assert keys(provider("jwks: {uri: 'http://localhost:8080/j'}")) == RemoteKeys("http://localhost:8080/j")
    allowed = keys(provider("jwks: {uri: 'http://issuer.auth/j', allow_http: true}"))
    assert allowed == RemoteKeys("http://issuer.auth/j", allow_http=True)
    assert keys(provider("jwks: {discovery: true}")) == RemoteKeys(None)


@pytest.mark.parametrize(
    "jwks",
    [
        "uri: 'http://k.example/j'",
        "uri: 'http://k.example/j', allow_http: false",
        "uri: k.example",
        "uri: 'https://u:p@k.example'",
        "uri: 'file:///k.json'",
    ],
)
def test_other_places_are_refused(jwks):
    """Keys that can be replaced on the way decide who is who."""
    assert codes(provider(f"jwks: {{{jwks}}}")) == ["EAZ403"]


@pytest.mark.parametrize("issuer", ["http://i.example", "issuer"])
def test_discovery_starts_at_the_issuer(issuer):
    """So the issuer must be an address that is safe to ask."""
    assert codes(provider("jwks: {discovery: true}", issuer=issuer)) == ["EAZ403"]


@pytest.mark.parametrize(
    "jwks", ["{}", "{ca_file: a}", "{uri: 'https://a.example', discovery: true}", "{inline: {keys: [{}]}, file: a}"]
)
def test_keys_have_one_source(jwks):
    """Two could disagree."""
    assert codes(provider(f"jwks: {jwks}")) == ["EAZ207"]


def test_what_is_about_fetching_needs_something_to_fetch():
    """It would be ignored silently."""
    text = provider("jwks: {inline: {keys: [{}]}, ca_file: a, allow_http: true}")
    assert codes(text) == ["EAZ207", "EAZ207"]


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret", b"s3cret"),
        (b"s3cret\n", b"s3cret"),
        (b"s3cret\r\n", b"s3cret"),
        (b"a\n\n", b"a\n\n"),
        (b"\x00\xff\n", b"\x00\xff\n"),
        (b" a \n", b" a "),
    ],
)
def test_a_secret_is_the_file_without_an_editors_line_break(content, secret):
    """One at the end of a text; bytes that are no text stay as they are."""
    assert keys(provider("secret_file: s", "HS256"), {"s": content}) == SharedSecret(secret)


@pytest.mark.parametrize("content", [b"", b"\n", b"  "])
def test_an_empty_secret_is_none(content):
    """Anybody could sign with it."""
    assert codes(provider("secret_file: s", "HS256"), {"s": content}) == ["EAZ403"]


def test_a_provider_has_keys():
    """Either kind, not both, not none; a file that is not there is reported where it is named."""
    assert errors(provider("clock_skew: 1s")) == [("EAZ202", "the provider has no keys: `jwks` is missing")]
    assert codes(provider("jwks: {discovery: true}, secret_file: s", "HS256"), {"s": "x"}) == ["EAZ207"]
    assert codes(provider("secret_file: s", "HS256")) == ["EAZ111"]


def test_secrets_are_in_no_message():
    """Not even in what a set prints of itself."""
    shown = repr(policy_set(provider("secret_file: s", "HS256"), {"s": b"hush-hush"}))
    assert "hush" not in shown
