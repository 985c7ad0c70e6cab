import gc
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from extauthz.authn.authenticator import Authenticator, KeySets, NeedKeySet, VerifiedTokens
from extauthz.authn.keyset import STALE_LIMIT_SECONDS, KeySetRefusedError, parse_key_set
from extauthz.authn.provider import key_source_digest
from extauthz.authn.token import signature_verifies
from extauthz.errors import (
    AlgorithmNotAllowedError,
    ApiKeyUnknownError,
    AudienceMismatchError,
    AuthnError,
    ClaimInvalidError,
    CredentialsAmbiguousError,
    IssuerUnknownError,
    KeySetUnavailableError,
    KeyUnknownError,
    SignatureInvalidError,
    TokenExpiredError,
    TokenMalformedError,
    TokenNotYetValidError,
)
from extauthz.model.access import ANONYMOUS
from extauthz.model.provider import MayAssert, RemoteKeys, SharedSecret, StaticKeys, TokenLocation
from tests.harness.authn import (
    CORP,
    ISSUER,
    NOW,
    REMOTE,
    ROLES,
    authenticate,
    bearer,
    caller,
    jwks,
    make_api_keys,
    make_authenticator,
    make_claims,
    make_provider,
    signing_key,
    token,
)
from tests.strategies import Request

OTHER = signing_key("other")
COOKIE = TokenLocation(cookie="session")
PARTNER = make_provider(
    name="partner",
    issuer="https://partner.example",
    keys=StaticKeys(jwks(OTHER), "inline"),
    tokens=(COOKIE,),
    may_assert=MayAssert(roles=frozenset()),
)


@pytest.fixture
def verifications(monkeypatch):
    """The tokens whose signature was verified, in order: what a cache must not do twice."""
    seen = []

    def counted(token, key):
        seen.append(token.text)
        return signature_verifies(token, key)

    monkeypatch.setattr("extauthz.authn.authenticator.signature_verifies", counted)
    return seen


def remote(at=NOW, keys=(CORP,)):
    """A provider with remote keys that have been fetched, with what holds them."""
    provider, key_sets = make_provider(keys=REMOTE), KeySets()
    state = key_sets.state_of(provider)
    if keys:
        state.begin(at)
        state.fetched(parse_key_set(jwks(*keys)), at, 300.0)
    return provider, key_sets, state, make_authenticator(provider, key_sets=key_sets)


def test_nothing_presented_is_anonymous():
    """Also when somebody else's scheme is."""
    authenticator = make_authenticator(make_provider(), api_keys=[make_api_keys(robot="k")])
    assert authenticator.authenticate(Request(), NOW) is ANONYMOUS
    assert authenticator.authenticate(Request(headers={"authorization": ["Basic abc"]}), NOW) is ANONYMOUS
    assert make_authenticator().authenticate(bearer(token()), NOW) is ANONYMOUS


def test_a_token_proves_its_bearer():
    """Provider, subject and the mapped claims."""
    principal = authenticate(token(roles=["reader", "ghost"], groups=["staff"], scope="a b"))
    assert (principal.authenticated, principal.provider, principal.subject) == (True, "corp", "alice")
    assert (principal.roles, principal.groups, principal.scopes) == (("reader",), ("staff",), ("a", "b"))
    assert principal.claims["exp"] == NOW + 600


def test_a_shared_secret_verifies():
    """HMAC, with any key id or none."""
    secret = b"s" * 32
    provider = make_provider(keys=SharedSecret(secret), algorithms=("HS256",))
    for header in ({}, {"kid": "any"}):
        assert authenticate(jwt.encode(make_claims(), secret, "HS256", headers=header), provider).subject == "alice"
    with pytest.raises(SignatureInvalidError):
        authenticate(jwt.encode(make_claims(), b"t" * 32, "HS256"), provider)


def test_api_keys_stand_beside_tokens():
    """Either alone is enough, both are ambiguous, and an unknown key is refused."""
    authenticator = make_authenticator(make_provider(), api_keys=[make_api_keys(robot="k")])
    robot = caller(authenticator, Request(headers={"x-api-key": ["k"]}), NOW)
    assert robot.subject == "robot"
    with pytest.raises(ApiKeyUnknownError):
        authenticator.authenticate(Request(headers={"x-api-key": ["other"]}), NOW)
    with pytest.raises(CredentialsAmbiguousError):
        authenticator.authenticate(bearer(token(), **{"x-api-key": ["k"]}), NOW)


def test_a_provider_takes_tokens_only_in_its_places():
    """The issuer picks among the providers of the place where the token stands."""
    authenticator = make_authenticator(make_provider(), PARTNER)
    partner = token(OTHER, iss=PARTNER.issuer, roles=["reader"])
    found = caller(authenticator, Request(headers={"cookie": [f"session={partner}"]}), NOW)
    assert (found.provider, found.roles) == ("partner", ())
    for request in (bearer(partner), Request(headers={"cookie": [f"session={token()}"]})):
        with pytest.raises(IssuerUnknownError):
            authenticator.authenticate(request, NOW)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: "", TokenMalformedError),
        (lambda: "abc", TokenMalformedError),
        (lambda: "\udcff", TokenMalformedError),
        (lambda: token(iss="https://evil.example"), IssuerUnknownError),
        (lambda: token(header={"alg": "PS256"}), AlgorithmNotAllowedError),
        (lambda: token(OTHER, header={"kid": CORP.kid}), SignatureInvalidError),
        (lambda: token(OTHER, header={"kid": ...}), SignatureInvalidError),
        (lambda: token(OTHER), KeyUnknownError),
        (lambda: token(aud="other"), AudienceMismatchError),
        (lambda: token(sub=...), ClaimInvalidError),
        (lambda: token(roles=7), ClaimInvalidError),
        (lambda: token(exp="soon"), ClaimInvalidError),
        (lambda: token(exp=NOW - 31), TokenExpiredError),
        (lambda: token(nbf=NOW + 31), TokenNotYetValidError),
        (lambda: token(iat=NOW + 31), TokenNotYetValidError),
    ],
)
def test_tokens_that_prove_nothing(make, error):
    """Each failure has its reason, the second time as the first."""
    authenticator, request = make_authenticator(make_provider()), bearer(make())
    for _ in range(2):
        with pytest.raises(error) as caught:
            authenticator.authenticate(request, NOW)
        assert type(caught.value) is error


def test_a_known_token_yields_the_same_object(verifications):
    """No second verification, and nothing derived from the principal is lost."""
    authenticator, request = make_authenticator(make_provider()), bearer(token())
    principal = authenticator.authenticate(request, NOW)
    assert authenticator.authenticate(request, NOW + 1) is principal
    assert len(verifications) == 1


def test_a_known_token_expires():
    """Time is compared at every hit, clock skew allowed for, and may go back."""
    authenticator, request = make_authenticator(make_provider()), bearer(token(nbf=NOW))
    principal = authenticator.authenticate(request, NOW)
    assert authenticator.authenticate(request, NOW + 629.9) is principal
    with pytest.raises(TokenExpiredError):
        authenticator.authenticate(request, NOW + 630)
    with pytest.raises(TokenNotYetValidError):
        authenticator.authenticate(request, NOW - 31)
    assert authenticator.authenticate(request, NOW) is principal


def test_an_early_token_becomes_valid(verifications):
    """What time cures is not remembered as a failure, nor is the signature verified again."""
    authenticator, request = make_authenticator(make_provider()), bearer(token(nbf=NOW + 100))
    with pytest.raises(TokenNotYetValidError):
        authenticator.authenticate(request, NOW)
    assert caller(authenticator, request, NOW + 100).subject == "alice"
    assert len(verifications) == 1


def test_verified_claims_are_shared(verifications):
    """Another combination of providers, or the next policy set, does not verify again, but maps for itself."""
    key_sets, tokens, request = KeySets(), VerifiedTokens(), bearer(token(roles=["reader", "editor"]))
    first = caller(Authenticator([make_provider()], [], ROLES, key_sets, tokens), request)
    providers = [make_provider(), PARTNER]
    second = caller(Authenticator(providers, [], frozenset({"editor"}), key_sets, tokens), request)
    assert (first.roles, second.roles) == (("reader", "editor"), ("editor",))
    assert first.claims is second.claims
    assert first.derived is not second.derived
    assert len(verifications) == 1


def test_verified_claims_are_not_shared_across_configurations(verifications):
    """A provider with another audience does not profit from what was verified for the first."""
    key_sets, tokens, request = KeySets(), VerifiedTokens(), bearer(token())
    assert caller(Authenticator([make_provider()], [], ROLES, key_sets, tokens), request).subject == "alice"
    stricter = Authenticator([make_provider(audiences=("desk",))], [], ROLES, key_sets, tokens)
    with pytest.raises(AudienceMismatchError):
        stricter.authenticate(request, NOW)
    assert len(verifications) == 2


def test_incurable_failures_are_remembered(verifications):
    """A token for another audience is not verified twice; one with a wrong signature is, for keys may change."""
    authenticator = make_authenticator(make_provider())
    wrong_audience, forged = bearer(token(aud="other")), bearer(token(OTHER, header={"kid": CORP.kid}))
    for _ in range(3):
        with pytest.raises(AudienceMismatchError):
            authenticator.authenticate(wrong_audience, NOW)
    assert len(verifications) == 1
    for _ in range(3):
        with pytest.raises(SignatureInvalidError):
            authenticator.authenticate(forged, NOW)
    assert len(verifications) == 4


def test_hits_are_what_was_not_verified():
    """Of good tokens, of bad ones, and of those that another combination of providers has verified."""
    key_sets, tokens = KeySets(), VerifiedTokens()
    first = Authenticator([make_provider()], [], ROLES, key_sets, tokens)
    good, bad = bearer(token()), bearer(token(aud="other"))
    for _ in range(3):
        caller(first, good)
        with pytest.raises(AudienceMismatchError):
            first.authenticate(bad, NOW)
    assert (tokens.verifications, tokens.hits) == (1, 4)
    caller(Authenticator([make_provider(), PARTNER], [], ROLES, key_sets, tokens), good)
    assert (tokens.verifications, tokens.hits) == (1, 5)


def test_missing_keys_are_needed():
    """Until they are there, for one failed fetch could not decide, and then again."""
    provider, _, state, authenticator = remote(keys=())
    request = bearer(token())
    assert authenticator.authenticate(request, NOW) == NeedKeySet(provider, None)
    state.begin(NOW)
    assert authenticator.authenticate(request, NOW) == NeedKeySet(provider, None)
    state.failed("down", NOW, 5.0)
    with pytest.raises(KeySetUnavailableError):
        authenticator.authenticate(request, NOW)
    state.begin(NOW + 5)
    state.fetched(parse_key_set(jwks(CORP)), NOW + 5, 300.0)
    assert caller(authenticator, request, NOW + 5).subject == "alice"


def test_only_tokens_of_the_missing_provider_wait():
    """Others are answered, and so are tokens that no key could save."""
    provider, key_sets = make_provider(keys=REMOTE), KeySets()
    authenticator = make_authenticator(provider, PARTNER, key_sets=key_sets)
    cookie = Request(headers={"cookie": [f"session={token(OTHER, iss=PARTNER.issuer)}"]})
    assert caller(authenticator, cookie, NOW).provider == "partner"
    assert authenticator.authenticate(Request(), NOW) is ANONYMOUS
    for text, error in (("abc", TokenMalformedError), (token(header={"alg": "PS256"}), AlgorithmNotAllowedError)):
        with pytest.raises(error):
            authenticator.authenticate(bearer(text), NOW)


def test_an_unknown_key_is_fetched_for_once():
    """After the fetch the key is there, or the token is refused."""
    provider, _, state, authenticator = remote()
    request, later = bearer(token(OTHER)), NOW + 20
    assert authenticator.authenticate(request, later) == NeedKeySet(provider, OTHER.kid)
    state.begin(later)
    state.fetched(parse_key_set(jwks(CORP)), later, 300.0)
    with pytest.raises(KeyUnknownError):
        authenticator.authenticate(request, later)
    state.begin(later + 300)
    state.fetched(parse_key_set(jwks(CORP, OTHER)), later + 300, 300.0)
    assert caller(authenticator, request, later + 300).subject == "alice"


def test_a_token_without_key_id_may_need_newer_keys():
    """An issuer that names no keys can rotate too."""
    provider, _, state, authenticator = remote()
    request, later = bearer(token(OTHER, header={"kid": ...})), NOW + 20
    assert authenticator.authenticate(request, later) == NeedKeySet(provider, None)
    state.begin(later)
    state.fetched(parse_key_set(jwks(OTHER)), later, 300.0)
    assert caller(authenticator, request, later).subject == "alice"


def test_a_known_key_that_does_not_verify_is_not_fetched_for():
    """Neither a forged signature nor a key of another type."""
    _, _, _, authenticator = remote(keys=(CORP, OTHER))
    with pytest.raises(SignatureInvalidError):
        authenticator.authenticate(bearer(token(OTHER, header={"kid": CORP.kid})), NOW + 20)
    with pytest.raises(KeyUnknownError):
        authenticator.authenticate(bearer(token(signing_key("x", "ES256"), header={"kid": CORP.kid})), NOW + 20)


def test_a_removed_key_does_not_live_on(verifications):
    """A token that was verified is refused as soon as the set no longer has its key."""
    _, _, state, authenticator = remote(keys=(CORP, OTHER))
    request = bearer(token(OTHER))
    assert caller(authenticator, request, NOW).subject == "alice"
    state.begin(NOW + 60)
    state.fetched(parse_key_set(jwks(CORP)), NOW + 60, 300.0)
    with pytest.raises(KeyUnknownError):
        authenticator.authenticate(request, NOW + 60)
    assert len(verifications) == 1


def test_a_refreshed_set_of_equal_keys_keeps_what_is_known(verifications):
    """A refresh costs no verification."""
    _, _, state, authenticator = remote()
    request = bearer(token())
    principal = authenticator.authenticate(request, NOW)
    state.begin(NOW + 60)
    state.fetched(parse_key_set(jwks(CORP)), NOW + 60, 300.0)
    assert authenticator.authenticate(request, NOW + 60) is principal
    assert len(verifications) == 1


def test_known_tokens_do_not_outlive_stale_keys():
    """Past the limit nobody knows whether the key still counts, cached or not."""
    provider, _, state, authenticator = remote()
    request = bearer(token(exp=NOW + 1e6))
    principal = authenticator.authenticate(request, NOW)
    end = NOW + 300 + STALE_LIMIT_SECONDS
    assert authenticator.authenticate(request, end - 1) is principal
    assert authenticator.authenticate(request, end) == NeedKeySet(provider, None)
    state.begin(end)
    state.failed("down", end, 5.0)
    with pytest.raises(KeySetUnavailableError):
        authenticator.authenticate(request, end)


def test_key_sets_outlive_policy_sets_but_not_their_last_user():
    """The next policy set finds the keys of the one before; what nobody uses is freed."""
    _, key_sets, state, authenticator = remote()
    assert key_sets.state_of(make_provider(keys=REMOTE, audiences=None)) is state
    assert key_sets.state_of(make_provider(keys=RemoteKeys("https://other.example"))) is not state
    del state, authenticator
    gc.collect()
    assert key_sets.state_of(make_provider(keys=REMOTE)).key_set is None


def test_a_remote_key_set_is_known_by_its_source_too():
    """Whoever is only told of keys has the same state as whoever has the provider."""
    provider, key_sets = make_provider(keys=REMOTE), KeySets()
    state = key_sets.remote_state(key_source_digest(provider))
    assert key_sets.state_of(provider) is state
    assert key_sets.remote_state(key_source_digest(provider)) is state
    assert key_sets.remote_state(b"another") is not state


def test_threads_get_the_same_key_set():
    """A policy set that is prepared beside the served one must not make keys of its own."""
    key_sets, provider = KeySets(), make_provider(keys=REMOTE)
    with ThreadPoolExecutor(8) as threads:
        states = list(threads.map(lambda _: key_sets.state_of(provider), range(64)))
    assert len(set(map(id, states))) == 1


def test_unusable_keys_of_the_policy_cannot_be_served():
    """An authenticator is not built over keys that verify nothing."""
    with pytest.raises(KeySetRefusedError):
        make_authenticator(make_provider(keys=StaticKeys({"keys": []}, "inline")))


@given(st.integers(0, 10_000), st.characters(codec="utf-8"))
def test_no_change_to_a_token_goes_unnoticed(position, character):
    """Any one character replaced by another: the token proves nothing, in a way that we know."""
    text = token()
    position %= len(text)
    assume(text[position] != character)
    with pytest.raises(AuthnError):
        authenticate(text[:position] + character + text[position + 1 :])


def test_messages_hold_neither_token_nor_key():
    """What is logged of a failure can be shown to anybody."""
    secrets = [ISSUER, CORP.kid, OTHER.kid, "alice", "7777"]
    for text in (
        token(OTHER),
        token(aud="7777"),
        token(exp="7777"),
        token(header={"crit": ["7777"]}),
        token(iss="7777"),
    ):
        with pytest.raises(AuthnError) as caught:
            authenticate(text)
        assert not [secret for secret in [*secrets, *text.split(".")] if secret in str(caught.value)]
