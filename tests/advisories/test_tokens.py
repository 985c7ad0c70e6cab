"""Known attacks on JWT verifiers, one by one, each against a provider that would accept the honest token.

Sources: RFC 8725 sections 2 and 3, and the advisories of JWT libraries named at the tests.
"""

from __future__ import annotations

import base64
import json
from functools import partial

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from extauthz.authn.authenticator import KeySets, NeedKeySet
from extauthz.authn.keyset import parse_key_set
from extauthz.errors import (
    AlgorithmNotAllowedError,
    AudienceMismatchError,
    AuthnError,
    ClaimInvalidError,
    ClaimMissingError,
    IssuerUnknownError,
    KeyUnknownError,
    SignatureInvalidError,
    TokenMalformedError,
)
from extauthz.model.provider import MayAssert, SharedSecret, StaticKeys
from tests.harness.authn import (
    CORP,
    NOW,
    REMOTE,
    authenticate,
    bearer,
    forge,
    jwks,
    make_authenticator,
    make_claims,
    make_provider,
    signer,
    signing_key,
    token,
)

EVIL = signing_key("evil")
EC = signing_key("corp", "ES256")
BOTH = make_provider(keys=StaticKeys(jwks(CORP, EC), "inline"))


def refuses(text, error=AuthnError, provider=None):
    assert authenticate(token()).subject == "alice"  # the honest token is good
    with pytest.raises(error):
        authenticate(text, provider)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", " none", "none\0"])
@pytest.mark.parametrize("signature", [b"", b"anything"])
def test_alg_none(algorithm, signature):
    """RFC 8725 section 2.1: `none` in any spelling, with and without a signature."""
    refuses(forge({"alg": algorithm}, make_claims(), lambda _: signature), AlgorithmNotAllowedError)


def test_alg_none_for_a_provider_that_lists_it():
    """Even a configuration that names `none` verifies nothing by it."""
    provider = make_provider(algorithms=("none", "RS256"))
    refuses(forge({"alg": "none"}, make_claims(), lambda _: b""), AuthnError, provider)


def test_stripped_signature():
    """A good token without its signature, and without its last part."""
    header, payload, _ = token().split(".")
    refuses(f"{header}.{payload}.", SignatureInvalidError)
    refuses(f"{header}.{payload}", TokenMalformedError)


def test_key_confusion_with_the_public_key():
    """CVE-2015-9235, CVE-2016-5431: HS256 with the RSA public key, in each of its forms, as the secret."""
    public = jwt.PyJWK(CORP.public_jwk).key
    forms = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(CORP.public_jwk).encode(),
        base64.urlsafe_b64decode(CORP.public_jwk["n"] + "=="),
    ]
    hmac = jwt.PyJWS().get_algorithm_by_name("HS256")
    careless = make_provider(algorithms=("RS256", "HS256"))
    for secret in forms:
        text = forge({"alg": "HS256", "kid": CORP.kid}, make_claims(), partial(hmac.sign, key=secret))
        refuses(text, AlgorithmNotAllowedError)
        refuses(text, AuthnError, careless)


def test_rsa_token_for_a_shared_secret():
    """The other direction: a provider with a secret takes no signature by a key that the caller made."""
    provider = make_provider(keys=SharedSecret(b"s" * 32), algorithms=("HS256",))
    refuses(token(EVIL), AlgorithmNotAllowedError, provider)


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": EVIL.public_jwk},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["MIIB"]},
        {"jwk": EVIL.public_jwk, "kid": CORP.kid},
        {"jku": "https://evil.example/jwks.json", "kid": CORP.kid},
    ],
)
def test_keys_from_the_token(header):
    """CVE-2018-0114: what a token says of its own key is not looked at."""
    refuses(token(EVIL, header), AuthnError)
    assert authenticate(token(CORP, {**header, "kid": CORP.kid})).subject == "alice"


@pytest.mark.parametrize(
    "kid",
    [
        "/dev/null",
        "../../../etc/passwd",
        "' UNION SELECT 'key' --",
        "|id",
        "file:///dev/null",
        "",
        "\0",
        "\ud800",
        "k" * 3000,
    ],
)
def test_kid_injection(kid):
    """A key id is compared, never opened, queried or run."""
    refuses(token(CORP, {"kid": kid}), KeyUnknownError)


def test_kid_flood():
    """However many keys are invented, one fetch per interval is asked for."""
    provider, key_sets = make_provider(keys=REMOTE), KeySets()
    state = key_sets.state_of(provider)
    state.begin(NOW)
    state.fetched(parse_key_set(jwks(CORP)), NOW, 300.0)
    authenticator = make_authenticator(provider, key_sets=key_sets)
    fetches = 0
    for number in range(600):
        now = NOW + number * 0.1
        request = bearer(forge({"alg": "RS256", "kid": f"invented-{number}"}, make_claims(), lambda _: b"x" * 256))
        try:
            answer = authenticator.authenticate(request, now)
        except KeyUnknownError:
            continue
        assert isinstance(answer, NeedKeySet)
        fetches += 1
        state.begin(now)
        state.fetched(parse_key_set(jwks(CORP)), now, 300.0)
    assert 1 <= fetches <= 6


def test_cross_issuer_keys():
    """One provider's key proves nothing about another's issuer (RFC 8725 section 3.8)."""
    partner = make_provider(name="partner", issuer="https://partner.example", keys=StaticKeys(jwks(EVIL), "inline"))
    authenticator = make_authenticator(make_provider(), partner)
    assert authenticator.authenticate(bearer(token(EVIL, iss=partner.issuer)), NOW).provider == "partner"
    for text in (
        token(EVIL),
        token(EVIL, {"kid": CORP.kid}),
        token(EVIL, {"kid": ...}),
        token(CORP, iss=partner.issuer),
    ):
        with pytest.raises((KeyUnknownError, SignatureInvalidError)):
            authenticator.authenticate(bearer(text), NOW)


@pytest.mark.parametrize(
    "issuer",
    ["https://issuer.example/", "https://ISSUER.example", "https://issuer.example.evil", "https://issuer.exampl\u0435"],
)
def test_issuers_that_look_alike(issuer):
    """An issuer is compared exactly."""
    refuses(token(iss=issuer), IssuerUnknownError)


def test_audience_omitted():
    """A token for nobody is not one for us."""
    refuses(token(aud=...), AudienceMismatchError)
    refuses(token(aud=[]), AudienceMismatchError)
    refuses(token(aud=None), ClaimInvalidError)


def test_roles_beyond_what_a_provider_may_assert():
    """A partner's administrator is not ours."""
    provider = make_provider(may_assert=MayAssert(frozenset({"reader"}), frozenset(), frozenset()))
    principal = authenticate(token(roles=["editor", "reader"], groups=["admins"], scope="all"), provider)
    assert (principal.roles, principal.groups, principal.scopes) == (("reader",), (), ())


@pytest.mark.parametrize("value", ["alice\0", "\0", "alice\ud800", "\udfff"])
@pytest.mark.parametrize("claim", ["sub", "roles", "groups", "scope"])
def test_nul_and_surrogates_in_claims(value, claim):
    """Text that one reader cuts and another cannot write is no identity."""
    refuses(token(**{claim: value}), ClaimInvalidError)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deeply_nested_claims(opening, closing):
    """5,000 levels are refused, and take nobody's stack."""
    depth = 5_000 if opening == "[" else 1_500  # both within the limit on size
    nested = json.dumps(make_claims())[:-1] + f', "x": {opening * depth}1{closing * depth}}}'
    refuses(forge({"alg": "RS256"}, nested.encode(), signer(CORP)), TokenMalformedError)


@pytest.mark.parametrize(
    "text",
    [
        '{"iss": "https://evil.example", "iss": "https://issuer.example"}',
        '{"sub": "admin", "sub": "alice"}',
        '{"x": {"role": "admin", "role": "guest"}}',
        '{"aud": "other", "\\u0061ud": "shop"}',
    ],
)
def test_duplicate_names_in_the_payload(text):
    """Two readers, two identities: refused although the issuer signed it."""
    payload = json.dumps(make_claims())[:-1] + ", " + text[1:]
    refuses(forge({"alg": "RS256"}, payload.encode(), signer(CORP)), TokenMalformedError)


def test_duplicate_names_in_the_header():
    """Two algorithms, or two keys."""
    for header in ('{"alg": "RS256", "alg": "none"}', '{"alg": "RS256", "kid": "a", "kid": "b"}'):
        refuses(forge(header.encode(), make_claims(), signer(CORP)), TokenMalformedError)


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["x", "x"], [], "exp", None, ["https://example.com/extension"]])
def test_critical_extensions(crit):
    """An extension that is not understood is a refusal (RFC 7515 section 4.1.11)."""
    refuses(token(CORP, {"crit": crit}), TokenMalformedError)


def test_unencoded_payload():
    """RFC 7797: a payload that is signed in another form than it is read in."""
    payload = json.dumps(make_claims()).encode()
    header = base64url_encode(json.dumps({"alg": "RS256", "kid": CORP.kid, "b64": False, "crit": ["b64"]}).encode())
    signature = base64url_encode(signer(CORP)(header + b"." + payload))
    for middle in (base64url_encode(payload), b"", payload):
        refuses(b".".join([header, middle, signature]).decode(), TokenMalformedError)
    refuses(token(CORP, {"b64": False}), TokenMalformedError)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "written", ['"1900000000"', "NaN", "Infinity", "-Infinity", "1e400", "true", "null", "[1900000000]", "9" * 400]
)
def test_times_that_are_no_numbers(name, written):
    """What compares as "not yet" or "never" with every clock is refused."""
    claims = json.dumps(make_claims(**{name: ...}))[:-1] + f', "{name}": {written}}}'
    refuses(
        forge({"alg": "RS256", "kid": CORP.kid}, claims.encode(), signer(CORP)),
        (TokenMalformedError, ClaimInvalidError),
    )


def test_a_token_that_never_expires():
    """`exp` is required."""
    refuses(token(exp=...), ClaimMissingError)


@pytest.mark.parametrize("size", [20_000, 1_000_000])
def test_huge_tokens(size):
    """Refused before anything is decoded, and the first time as the second."""
    authenticator = make_authenticator(make_provider())
    for text in (token(pad="x" * size), "x" * size, "." * size, "a." * size):
        for _ in range(2):
            with pytest.raises(TokenMalformedError):
                authenticator.authenticate(bearer(text), NOW)


def test_an_rsa_key_with_an_ecdsa_header():
    """The algorithm must fit the key that the token names."""
    assert authenticate(token(EC), BOTH).subject == "alice"
    refuses(forge({"alg": "ES256", "kid": CORP.kid}, make_claims(), signer(CORP)), KeyUnknownError, BOTH)
    refuses(forge({"alg": "RS256", "kid": EC.kid}, make_claims(), signer(EC)), KeyUnknownError, BOTH)


@pytest.mark.parametrize(
    "signature",
    [b"\0" * 64, b"", b"\0", b"\0" * 63, b"\0" * 128, (b"\0" * 31 + b"\x01") * 2, b"\xff" * 64],
)
def test_psychic_signatures(signature):
    """CVE-2022-21449: ECDSA with r = s = 0, and other values out of range."""
    refuses(forge({"alg": "ES256", "kid": EC.kid}, make_claims(), lambda _: signature), SignatureInvalidError, BOTH)


def test_malleable_encodings():
    """One token has one spelling: no padding, no unused bits, no white space."""
    text = token()
    last = text[-1]
    others = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" if c != last]
    for change in (text + "=", text + "==", text + "\n", text.replace(".", ". "), *(text[:-1] + c for c in others)):
        refuses(change, (TokenMalformedError, SignatureInvalidError))


def test_a_token_within_a_token():
    """Neither an encrypted token nor a nested one is taken for its content (RFC 8725 section 3.2 and 3.8)."""
    refuses("a.b.c.d.e", TokenMalformedError)
    refuses(forge({"alg": "RS256", "cty": "JWT"}, token().encode(), signer(CORP)), TokenMalformedError)


def test_a_weak_key_in_the_set():
    """A key that can be factored is left out, so its tokens are refused."""
    weak = rsa.generate_private_key(65537, 1024)
    jwk = {**jwt.algorithms.RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True), "kid": "weak"}
    provider = make_provider(keys=StaticKeys({"keys": [jwk, CORP.public_jwk]}, "inline"))
    sign = jwt.PyJWS().get_algorithm_by_name("RS256").sign
    refuses(forge({"alg": "RS256", "kid": "weak"}, make_claims(), lambda m: sign(m, weak)), KeyUnknownError, provider)
