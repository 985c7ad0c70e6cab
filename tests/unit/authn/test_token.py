import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt import exceptions

from extauthz.authn.keyset import Key, parse_key_set
from extauthz.authn.token import (
    MAPPED,
    MAXIMUM_TOKEN_BYTES,
    check_audience,
    check_time,
    read_token,
    signature_verifies,
    validity,
)
from extauthz.errors import (
    AlgorithmNotAllowedError,
    AudienceMismatchError,
    ClaimInvalidError,
    ClaimMissingError,
    DecidedError,
    KeySetUnavailableError,
    TokenExpiredError,
    TokenMalformedError,
    TokenNotYetValidError,
)
from tests.harness.authn import CORP, ISSUER, NOW, forge, jwks, make_claims, signer, signing_key, token

KEY = parse_key_set(jwks(CORP)).keys[0]


def test_every_exception_of_pyjwt_is_mapped():
    """A class that a new PyJWT brings must be given a meaning here, or it would escape."""
    classes = {c for _, c in inspect.getmembers(exceptions, inspect.isclass) if issubclass(c, exceptions.PyJWTError)}
    assert len(classes) > 15
    assert classes == set(MAPPED)
    assert all(hasattr(ours, "reason") for ours in MAPPED.values())


def test_a_token_says_what_it_says():
    """Algorithm, key id, issuer and claims, as written."""
    read = read_token(token(extra={"a": [1, 2.5, None]}))
    assert (read.algorithm, read.kid, read.issuer) == ("RS256", CORP.kid, ISSUER)
    assert read.claims == make_claims(extra={"a": [1, 2.5, None]})
    assert read_token(token(header={"kid": ...})).kid is None


@pytest.mark.parametrize(
    "text", ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d.e", "Bearer x", "=.=.=", "é.é.é", "\udcff"]
)
def test_what_is_no_token_is_malformed(text):
    """Not three parts of base64url that hold JSON objects."""
    with pytest.raises(TokenMalformedError):
        read_token(text)


@pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{} ", "{}\n", "{}.", "{}.e30", "{}+", "{}/"])
def test_only_the_exact_form_is_read(change):
    """No padding, no white space, no further part, no standard alphabet."""
    with pytest.raises(TokenMalformedError):
        read_token(change.format(token()))


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"alg": None},
        {"alg": 7},
        {"alg": ["RS256"]},
        {"alg": "RS256", "kid": 7},
        {"alg": "RS256", "kid": ["k"]},
        {"alg": "RS256", "crit": []},
        {"alg": "RS256", "crit": ["b64"], "b64": True},
        {"alg": "RS256", "b64": False},
        {"alg": "RS256", "b64": None},
        b"[]",
        b"not json",
        b'{"alg": "RS256", "alg": "none"}',
        b'{"alg": "RS256", "x": "' + b"a" * 4096 + b'"}',
    ],
)
def test_headers_that_ask_for_something_else_are_refused(header):
    """RFC 7515 section 4.1: types, extensions and limits."""
    with pytest.raises(TokenMalformedError):
        read_token(forge(header, make_claims(), signer(CORP)))


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"iss": ...}, ClaimMissingError), ({"iss": 7}, ClaimInvalidError), ({"iss": None}, ClaimInvalidError)],
)
def test_an_issuer_is_a_string(changes, error):
    """It picks the provider."""
    with pytest.raises(error):
        read_token(token(**changes))


def test_the_size_is_bounded():
    """A token a little below the limit is read, one above is not looked into."""
    assert read_token(token(pad="x" * 11_000)).issuer == ISSUER
    with pytest.raises(TokenMalformedError, match=str(MAXIMUM_TOKEN_BYTES)):
        read_token(token(pad="x" * 13_000))


@given(
    st.text(max_size=300)
    | st.from_regex(r"[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{0,40}", fullmatch=True)
)
def test_any_text_is_read_or_refused(text):
    """No input raises anything but our own errors."""
    with pytest.raises(DecidedError):
        read_token(text)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_header_and_payload_are_read_or_refused(header, payload):
    """The same within well-formed base64url."""
    with pytest.raises(DecidedError):
        read_token(forge(header, payload, lambda _: b"signature"))


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_rsa_keys_verify_each_rsa_algorithm(algorithm):
    """A key without `alg` fits every algorithm of its type."""
    entry = {name: value for name, value in CORP.public_jwk.items() if name != "alg"}
    key = parse_key_set({"keys": [entry]}).keys[0]
    text = forge({"alg": algorithm}, make_claims(), signer(CORP, algorithm))
    assert signature_verifies(read_token(text), key)
    assert not signature_verifies(
        read_token(forge({"alg": algorithm}, make_claims(sub="bob"), lambda _: b"x" * 256)), key
    )


def test_another_key_does_not_verify():
    """Nor does a changed payload under the right one."""
    assert signature_verifies(read_token(token()), KEY)
    assert not signature_verifies(read_token(token(signing_key("other"))), KEY)
    head, _, signature = token().split(".")
    payload = token(sub="mallory").split(".")[1]
    assert not signature_verifies(read_token(f"{head}.{payload}.{signature}"), KEY)


def test_a_key_is_used_only_for_its_algorithms():
    """RFC 8725 section 3.1: even if the caller forgot to check."""
    with pytest.raises(AlgorithmNotAllowedError):
        signature_verifies(read_token(token(signing_key("corp", "ES256"))), KEY)


def test_a_key_that_pyjwt_refuses_is_not_the_callers_fault():
    """We could not decide; nothing of the key or the token is in the message."""
    text = forge({"alg": "HS256"}, make_claims(), lambda _: b"signature")
    with pytest.raises(KeySetUnavailableError, match=r"InvalidKeyError$"):
        signature_verifies(read_token(text), Key(None, ("HS256",), b"short"))


@pytest.mark.parametrize("claimed", ["shop", ["shop"], ["other", "shop"], ["desk"]])
def test_one_audience_is_enough(claimed):
    """A string, or a list with one that is ours."""
    check_audience({"aud": claimed}, ("shop", "desk"))


@pytest.mark.parametrize("claimed", ["shop ", "Shop", "shopping", "", [], ["sho", "p"], ["shop desk"]])
def test_audiences_are_compared_exactly(claimed):
    """No prefix, no case folding, no splitting."""
    with pytest.raises(AudienceMismatchError):
        check_audience({"aud": claimed}, ("shop", "desk"))


@pytest.mark.parametrize("claimed", [None, 7, True, {"shop": 1}, ["shop", 7], ["shop", None], [["shop"]]])
def test_an_audience_of_another_type_is_invalid(claimed):
    """Also when one element would match."""
    with pytest.raises(ClaimInvalidError):
        check_audience({"aud": claimed}, ("shop",))


def test_any_audience_has_to_be_asked_for():
    """Without audiences configured, `aud` is not read; with them, it must be there."""
    check_audience({}, None)
    check_audience({"aud": 7}, None)
    with pytest.raises(AudienceMismatchError):
        check_audience({}, ("shop",))


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"exp": 100}, (float("-inf"), 105.0)),
        ({"exp": 100.5, "nbf": 50}, (45.0, 105.5)),
        ({"exp": 100, "nbf": 50, "iat": 60}, (55.0, 105.0)),
        ({"exp": 100, "nbf": 60, "iat": 50.5}, (55.0, 105.0)),
        ({"exp": -1}, (float("-inf"), 4.0)),
    ],
)
def test_the_span_of_validity(claims, expected):
    """From the later of `nbf` and `iat`, until `exp`, both widened by the clock skew."""
    assert validity(claims, 5.0) == expected


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [None, "100", True, False, [100], {"v": 100}])
def test_times_are_numbers(name, value):
    """A time of another type is refused, not converted."""
    with pytest.raises(ClaimInvalidError):
        validity({"exp": 100, name: value}, 0.0)


def test_a_token_expires():
    """RFC 7519 section 4.1.4: `exp` is required; at `exp` it is over."""
    with pytest.raises(ClaimMissingError):
        validity({"iat": 1}, 0.0)
    check_time(NOW, NOW + 1, NOW)
    with pytest.raises(TokenExpiredError):
        check_time(NOW - 10, NOW, NOW)
    with pytest.raises(TokenNotYetValidError):
        check_time(NOW + 0.5, NOW + 10, NOW)
