import math
import pickle

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from extauthz.authn.keyset import (
    ALGORITHMS,
    MAXIMUM_KEYS,
    STALE_LIMIT_SECONDS,
    UNKNOWN_KID_INTERVAL_SECONDS,
    Key,
    KeySet,
    KeySetRefusedError,
    KeySetState,
    Phase,
    parse_key_set,
    secret_key_set,
    secret_problem,
)
from tests.harness.authn import CORP, jwks, signing_key

OTHER = signing_key("other")
RSA = CORP.public_jwk
EC = signing_key("corp", "ES256").public_jwk
T = 1_000.0


def curve(name):
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1(), "secp256k1": ec.SECP256K1()}
    return ECAlgorithm.to_jwk(ec.generate_private_key(curves[name]).public_key(), as_dict=True)


def edwards(private):
    return OKPAlgorithm.to_jwk(private.generate().public_key(), as_dict=True)


def without(jwk, *names, **changes):
    return {**{name: value for name, value in jwk.items() if name not in names}, **changes}


@pytest.mark.parametrize(
    ("entry", "algorithms"),
    [
        (without(RSA, "alg"), ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        (RSA, ("RS256",)),
        (without(RSA, alg="PS512"), ("PS512",)),
        (curve("P-256"), ("ES256",)),
        (curve("P-384"), ("ES384",)),
        (curve("P-521"), ("ES512",)),
        (edwards(ed25519.Ed25519PrivateKey), ("EdDSA",)),
        (edwards(ed448.Ed448PrivateKey), ("EdDSA",)),
        (without(RSA, "use", "kid"), ("RS256",)),
        (without(RSA, key_ops=["verify"]), ("RS256",)),
    ],
)
def test_keys_fit_the_algorithms_of_their_type(entry, algorithms):
    """Type, curve and `alg` decide together."""
    key_set = parse_key_set({"keys": [entry]})
    assert [key.algorithms for key in key_set.keys] == [algorithms]
    assert key_set.refused == ()


@pytest.mark.parametrize(
    "entry",
    [
        without(RSA, use="enc"),
        without(RSA, alg="RSA-OAEP"),
        without(RSA, alg="ES256"),
        without(RSA, alg="none"),
        without(RSA, alg=["RS256"]),
        without(RSA, use=None),
        without(RSA, key_ops=["sign"]),
        without(RSA, key_ops=[]),
        without(RSA, key_ops=7),
        without(EC, "alg", crv="P-999"),
        without(EC, alg="ES384"),
        curve("secp256k1"),
        {"kty": "new"},
        {},
    ],
)
def test_keys_for_something_else_are_passed_over(entry):
    """RFC 7517 section 5: they are somebody else's, and nothing is wrong with them."""
    key_set = parse_key_set({"keys": [entry, RSA]})
    assert [key.kid for key in key_set.keys] == [CORP.kid]
    assert key_set.refused == ()


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("text", "no JSON object"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "shared secret"),
        (without(RSA, kid=7), "'kid'"),
        ({**RSA, "d": "AQAB"}, "private"),
        (without(RSA, "n"), "malformed"),
        (without(RSA, n="!"), "malformed"),
        (without(RSA, n=7), "malformed"),
        (without(RSA, n=""), "malformed"),
        (without(RSA, e="AQ"), "malformed"),
        (without(EC, y=EC["x"]), "malformed"),
        (without(EC, x="AA"), "malformed"),
        (without(edwards(ed25519.Ed25519PrivateKey), x="AA"), "malformed"),
    ],
)
def test_bad_keys_are_left_out_and_named(entry, why):
    """One bad key does not take the others with it, and is not quoted."""
    key_set = parse_key_set({"keys": [entry, RSA]})
    assert [key.kid for key in key_set.keys] == [CORP.kid]
    assert len(key_set.refused) == 1
    assert key_set.refused[0].startswith("key 1 ")
    assert why in key_set.refused[0]
    assert RSA["n"] not in key_set.refused[0]


def test_weak_rsa_keys_are_refused():
    """RFC 7518 section 3.3: 2048 bits at the least."""
    weak = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    with pytest.raises(KeySetRefusedError, match="key 1 is an RSA key of 1024 bits"):
        parse_key_set({"keys": [without(weak, "key_ops")]})


@pytest.mark.parametrize(
    "keys", [None, "keys", {}, 7, [], [{"kty": "new"}], [without(RSA, use="enc")], [RSA] * (MAXIMUM_KEYS + 1)]
)
def test_a_set_without_keys_is_refused(keys):
    """An empty set would lock everybody out in silence; a huge one would take our time."""
    with pytest.raises(KeySetRefusedError):
        parse_key_set({"keys": keys})
    with pytest.raises(KeySetRefusedError):
        parse_key_set({})


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-1, 2**70)
    | st.text(max_size=8)
    | st.sampled_from(["RSA", "EC", "OKP", "AQAB", "P-256"])
)
NAMES = st.sampled_from(["kty", "n", "e", "x", "y", "crv", "kid", "alg", "use", "key_ops", "d"])


@given(st.sampled_from([RSA, EC]), st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=2), max_size=3))
def test_any_key_is_taken_or_left_out(entry, changes):
    """No key of an issuer raises anything but our own error, and none that is taken is private."""
    try:
        key_set = parse_key_set({"keys": [{**entry, **changes}]})
    except KeySetRefusedError:
        return
    assert all(not hasattr(key.material, "private_numbers") for key in key_set.keys)


def test_keys_are_found_by_id_and_algorithm():
    """A kid finds its key only; no kid finds all that fit."""
    key_set = parse_key_set(jwks(CORP, OTHER, signing_key("corp", "ES256")))
    assert [key.kid for key in key_set.fitting(CORP.kid, "RS256")] == [CORP.kid]
    assert key_set.fitting(CORP.kid, "ES256") == ()
    assert key_set.fitting("unknown", "RS256") == ()
    assert [key.kid for key in key_set.fitting(None, "RS256")] == [CORP.kid, OTHER.kid]
    assert key_set.has(CORP.kid)
    assert not key_set.has("unknown")


def test_a_key_without_an_id_is_not_found_by_one():
    """A token that names a key means that key."""
    key_set = parse_key_set({"keys": [without(RSA, "kid")]})
    assert key_set.fitting("some", "RS256") == ()
    assert len(key_set.fitting(None, "RS256")) == 1


def test_a_token_without_a_key_id_is_tried_with_few_keys():
    """Otherwise each such token would cost as many verifications as the issuer has keys."""
    keys = tuple(Key(str(number), ("RS256",), b"") for number in range(11))
    assert KeySet(keys, b"").fitting(None, "RS256") == ()
    assert len(KeySet(keys[:10], b"").fitting(None, "RS256")) == 10
    assert len(KeySet(keys, b"").fitting("3", "RS256")) == 1


def test_the_version_tells_sets_apart():
    """The same keys have the same version, whatever the order of a key's members."""
    version = parse_key_set(jwks(CORP)).version
    assert parse_key_set({"keys": [dict(reversed(RSA.items()))]}).version == version
    assert parse_key_set(jwks(CORP, OTHER)).version != version
    assert parse_key_set({"keys": [without(RSA, "alg")]}).version != version


def test_keys_are_not_shown():
    """Neither a secret nor a key stands in what is printed of a set."""
    assert "sesame" not in repr(secret_key_set(b"sesame" * 8, ["HS256"]))


def test_a_secret_takes_any_key_id():
    """It has none of its own."""
    key_set = secret_key_set(b"s" * 32, ["HS256"])
    assert key_set.has("any")
    assert key_set.fitting("any", "HS256") == key_set.fitting(None, "HS256") == key_set.keys
    assert key_set.fitting(None, "RS256") == ()
    assert secret_key_set(b"t" * 32, ["HS256"]).version != key_set.version


@pytest.mark.parametrize(
    ("secret", "algorithm", "why"),
    [
        (b"s" * 32, "HS256", None),
        (b"s" * 31, "HS256", "has 31 bytes, HS256 needs 32"),
        (b"s" * 47, "HS384", "needs 48"),
        (b"s" * 63, "HS512", "needs 64"),
        (b"", "HS256", "is empty"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "HS256", "public key"),
        (b'{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}', "HS256", "JWK"),
    ],
)
def test_secrets_are_long_and_no_keys(secret, algorithm, why):
    """RFC 7518 section 3.2, and the classic mistake of a public key as a secret."""
    problem = secret_problem(secret, algorithm)
    assert (problem is None) if why is None else (problem is not None and why in problem)


def test_all_algorithms_are_pyjwts():
    """What a provider may list can be verified, and `none` is not among it."""
    assert set(ALGORITHMS) <= set(jwt.PyJWS().get_algorithms())
    assert not {"none", "NONE", "None"} & set(ALGORITHMS)


# --- the state machine ---------------------------------------------------------------------------------------------

OLD, NEW = parse_key_set(jwks(CORP)), parse_key_set(jwks(CORP, OTHER))


def fresh_state(at=T, fresh=300.0):
    state = KeySetState()
    state.begin(at)
    state.fetched(OLD, at, fresh)
    return state


def test_at_first_keys_are_missing():
    """A fetch is due at once, for requests as for the background."""
    state = KeySetState()
    assert state.phase(T) is Phase.MISSING
    assert state.usable(T) is None
    assert state.next_fetch_at(T) == T
    assert state.may_fetch(None, T)


def test_the_life_of_a_key_set():
    """Missing, refreshing, fresh, stale, and missing again past the limit."""
    state = KeySetState()
    state.begin(T)
    assert (state.phase(T), state.next_fetch_at(T)) == (Phase.REFRESHING, math.inf)
    assert state.may_fetch(None, T)  # joins it
    assert state.fetched(OLD, T, 300.0)
    assert (state.phase(T), state.next_fetch_at(T), state.usable(T)) == (Phase.FRESH, T + 300, OLD)
    end = T + 300 + STALE_LIMIT_SECONDS
    assert (state.phase(T + 300), state.usable(T + 300)) == (Phase.STALE, OLD)
    assert (state.phase(end - 1), state.usable(end - 1)) == (Phase.STALE, OLD)
    assert (state.phase(end), state.usable(end)) == (Phase.MISSING, None)
    assert state.may_fetch("any", end)


def test_after_a_failure_nobody_fetches_for_a_while():
    """Neither requests nor the background; keys at hand are served meanwhile."""
    state = KeySetState()
    state.begin(T)
    state.failed("status 500", T, 5.0)
    assert (state.phase(T), state.next_fetch_at(T), state.may_fetch(None, T)) == (Phase.COOLING, T + 5, False)
    assert (state.failures, state.last_failure) == (1, "status 500")
    assert (state.phase(T + 5), state.may_fetch(None, T + 5)) == (Phase.MISSING, True)

    state = fresh_state()
    state.begin(T + 300)
    state.failed("status 500", T + 300, 5.0)
    assert (state.phase(T + 300), state.usable(T + 300)) == (Phase.COOLING, OLD)
    assert not state.may_fetch("new", T + 300)
    assert state.phase(T + 305) is Phase.STALE


def test_a_success_ends_the_count_of_failures():
    """Back-off starts over with the next failure."""
    state = KeySetState()
    state.begin(T)
    state.failed("down", T, 60.0)
    state.begin(T + 60)
    state.fetched(OLD, T + 60, 300.0)
    assert (state.failures, state.last_failure, state.next_fetch_at(T + 60)) == (0, None, T + 360)


def test_unknown_key_ids_bring_one_fetch_per_interval():
    """A flood of invented ids does not become a flood of fetches."""
    state = fresh_state()
    later = T + UNKNOWN_KID_INTERVAL_SECONDS
    assert not state.may_fetch("a", later - 0.1)
    assert state.may_fetch("a", later)
    state.begin(later)
    assert state.may_fetch("b", later)  # joins it
    state.fetched(OLD, later, 300.0)
    assert not state.may_fetch("b", later)
    assert not any(state.may_fetch(str(n), later + UNKNOWN_KID_INTERVAL_SECONDS - 0.1) for n in range(1000))


def test_a_key_that_a_fetch_did_not_bring_is_not_fetched_for_again():
    """For a minute, or until the keys change."""
    state = fresh_state()
    state.remember_absent("a", T)
    state.remember_absent(None, T)
    assert not state.may_fetch("a", T + 59)
    assert not state.may_fetch(None, T + 59)
    assert state.may_fetch("b", T + 59)
    assert state.may_fetch("a", T + 60)
    state.remember_absent("a", T + 60)
    state.begin(T + 60)
    state.fetched(NEW, T + 60, 300.0)
    assert state.may_fetch("a", T + 75)


def test_absent_keys_are_bounded():
    """The oldest is forgotten; memory does not grow with what callers invent."""
    state = fresh_state()
    for number in range(10_000):
        state.remember_absent(str(number), T)
    assert len(state._absent) <= 256
    assert not state.may_fetch("9999", T + 30)


def test_equal_keys_keep_their_object():
    """What was derived from a set stays valid as long as its keys do not change."""
    state = fresh_state()
    assert not state.fetched(parse_key_set(jwks(CORP)), T + 300, 300.0)
    assert state.key_set is OLD
    assert state.fetched(NEW, T + 600, 300.0)
    assert state.key_set is NEW


def test_restored_keys_are_due_by_their_own_age():
    """Keys of an earlier process are served at once, and fetched again when they would have been."""
    state = KeySetState()
    state.restore(OLD, T - 200, 300.0)
    assert (state.usable(T), state.next_fetch_at(T)) == (OLD, T + 100)
    assert state.may_fetch("new", T)


def test_a_clock_that_is_set_back_delays_nothing():
    """What was planned by a clock that ran ahead is due at once, and a flood is limited all the same."""
    state, earlier = fresh_state(at=T + 1e8), T
    assert (state.phase(earlier), state.usable(earlier)) == (Phase.STALE, OLD)
    assert state.next_fetch_at(earlier) == earlier
    state.begin(T + 1e8)
    state.failed("down", T + 1e8, 60.0)
    assert state.may_fetch("new", earlier)
    state.begin(earlier)
    state.failed("down", earlier, 5.0)
    assert (state.next_fetch_at(earlier), state.may_fetch("new", earlier)) == (earlier + 5, False)


def test_fixed_keys_are_never_fetched():
    """Those of a file or a secret."""
    state = KeySetState.fixed(OLD)
    for now in (0.0, T, 1e12):
        assert (state.phase(now), state.usable(now), state.may_fetch("a", now)) == (Phase.FRESH, OLD, False)
    assert state.next_fetch_at(T) == math.inf


@pytest.mark.parametrize("entry", [RSA, EC, edwards(ed25519.Ed25519PrivateKey), edwards(ed448.Ed448PrivateKey)])
def test_a_key_set_survives_the_way_to_another_process(entry):
    """The same keys under the same version."""
    key_set = parse_key_set({"keys": [entry]})
    received = pickle.loads(pickle.dumps(key_set))
    assert received == key_set


def test_a_shared_secret_survives_the_way_too():
    """Bytes as they are."""
    key_set = secret_key_set(b"s" * 32, ["HS256"])
    assert pickle.loads(pickle.dumps(key_set)) == key_set


def test_a_state_that_adopts_a_standing_serves_as_the_other_does():
    """What is usable until when, which fetches may be asked for, and what is known to be absent."""
    fetching, serving = KeySetState(), KeySetState()
    fetching.begin(T)
    fetching.fetched(parse_key_set(jwks(CORP)), T, 60.0)
    fetching.remember_absent("invented", T)
    serving.adopt(pickle.loads(pickle.dumps(fetching.standing())))
    assert serving.usable(T) == fetching.usable(T)
    for now in (T, T + UNKNOWN_KID_INTERVAL_SECONDS, T + 60.0, T + 60.0 + STALE_LIMIT_SECONDS):
        assert (serving.usable(now) is None) == (fetching.usable(now) is None)
        assert serving.phase(now) is fetching.phase(now)
        for kid in ("invented", "other", None):
            assert serving.may_fetch(kid, now) == fetching.may_fetch(kid, now)
    fetching.failed("gone", T + 61.0, 30.0)
    serving.adopt(fetching.standing())
    assert serving.phase(T + 62.0) is Phase.COOLING
    assert serving.failures == 1


def test_a_state_that_adopts_equal_keys_keeps_the_object():
    """What was derived from it stays valid; other keys, or none, replace it."""
    fetching, serving = KeySetState(), KeySetState()
    fetching.fetched(parse_key_set(jwks(CORP)), T, 60.0)
    serving.adopt(pickle.loads(pickle.dumps(fetching.standing())))
    before = serving.key_set
    serving.adopt(pickle.loads(pickle.dumps(fetching.standing())))
    assert serving.key_set is before
    fetching.fetched(parse_key_set(jwks(OTHER)), T, 60.0)
    serving.adopt(fetching.standing())
    assert serving.key_set is fetching.key_set
    serving.adopt(KeySetState().standing())
    assert serving.key_set is None
