import dataclasses
from types import MappingProxyType
from typing import Any

import pytest

from extauthz.authn.keyset import KeySetRefusedError
from extauthz.authn.provider import (
    check_provider_keys,
    configuration_digest,
    fixed_key_set,
    is_loopback,
    key_source_digest,
    origin_problem,
)
from extauthz.model.provider import (
    ClaimMapping,
    ClaimPath,
    MayAssert,
    Provider,
    RemoteKeys,
    SharedSecret,
    StaticKeys,
    TokenLocation,
)
from extauthz.model.source import Span
from tests.harness.authn import CORP, jwks, make_provider, signing_key

SECRET = SharedSecret(b"s" * 64)


def problems(**changes):
    return "; ".join(check_provider_keys(make_provider(**changes)))


def test_good_providers_have_no_problems():
    """Keys from the policy, over HTTP, from metadata, and a secret."""
    assert problems() == ""
    assert problems(keys=StaticKeys(MappingProxyType({"keys": (MappingProxyType(CORP.public_jwk),)}), "inline")) == ""
    for keys in (RemoteKeys("https://issuer.example/jwks.json"), RemoteKeys(None), RemoteKeys("http://127.0.0.1:1/j")):
        assert problems(keys=keys) == ""
    assert problems(keys=RemoteKeys("http://issuer.svc/jwks", allow_http=True)) == ""
    assert problems(keys=SECRET, algorithms=("HS256", "HS384", "HS512")) == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"algorithms": ()}, "no algorithm"),
        ({"algorithms": ("none",)}, "'none' is not supported"),
        ({"algorithms": ("rs256",)}, "'rs256' is not supported"),
        ({"algorithms": ("RS256", "HS256")}, "HMAC never stands beside"),
        ({"algorithms": ("HS256",)}, "HMAC needs a shared secret"),
        ({"algorithms": ("RS256",), "keys": SECRET}, "needs an HMAC algorithm"),
        ({"algorithms": ("HS256", "RS256"), "keys": SECRET}, "HMAC never stands beside"),
        ({"algorithms": ("HS512",), "keys": SharedSecret(b"s" * 32)}, "the secret has 32 bytes, HS512 needs 64"),
        ({"algorithms": ("ES384",)}, "has no key for ES384"),
        ({"keys": StaticKeys({}, "keys.json")}, "the key set (keys.json) is no JWK Set"),
        ({"keys": StaticKeys({"keys": [{"kty": "oct", "k": "eA"}, CORP.public_jwk]}, "a")}, "key 1 is a shared secret"),
        ({"keys": RemoteKeys("http://issuer.example/jwks")}, "must be https"),
        ({"keys": RemoteKeys("ftp://issuer.example/jwks", allow_http=True)}, "must be https"),
        ({"keys": RemoteKeys("file:///etc/passwd")}, "names no host"),
        ({"keys": RemoteKeys("https://u:p@issuer.example/jwks")}, "user name"),
        ({"keys": RemoteKeys("https://issuer.example:port/jwks")}, "no URL"),
        ({"keys": RemoteKeys("https://[::1/jwks")}, "no URL"),
        ({"keys": RemoteKeys("jwks.json")}, "names no host"),
        ({"keys": RemoteKeys(None), "issuer": "corp"}, "the issuer cannot be used: it names no host"),
        ({"keys": RemoteKeys(None), "issuer": "http://issuer.example"}, "must be https"),
        ({"keys": RemoteKeys(None), "issuer": "https://issuer.example/?a=b"}, "no query"),
    ],
)
def test_what_is_wrong_is_said(changes, expected):
    """Each mistake that would refuse every token, or believe the wrong ones."""
    assert expected in problems(**changes)


def test_fixed_key_sets():
    """Keys of the policy are there at once; remote ones are not."""
    published = fixed_key_set(make_provider())
    assert published is not None
    assert [key.kid for key in published.keys] == [CORP.kid]
    shared = fixed_key_set(make_provider(keys=SECRET, algorithms=("HS256",)))
    assert shared is not None
    assert shared.keys[0].algorithms == ("HS256",)
    assert fixed_key_set(make_provider(keys=RemoteKeys(None))) is None
    with pytest.raises(KeySetRefusedError):
        fixed_key_set(make_provider(keys=StaticKeys({"keys": []}, "inline")))


CHANGES: dict[str, list[Any]] = {
    "name": ["other"],
    "issuer": ["https://other.example"],
    "audiences": [None, ("other",), ("shop", "other")],
    "algorithms": [("RS256",)],
    "keys": [
        StaticKeys(jwks(signing_key("other")), "inline"),
        SharedSecret(b"a"),
        SharedSecret(b"b"),
        RemoteKeys(None),
        RemoteKeys("https://a"),
        RemoteKeys("https://a", ca_file="ca.pem"),
        RemoteKeys("https://a", allow_http=True),
    ],
    "tokens": [(), (TokenLocation(cookie="authorization"),), (TokenLocation(header="authorization"),)],
    "claims": [
        ClaimMapping(),
        ClaimMapping(subject=ClaimPath(("email",))),
        ClaimMapping(roles=(ClaimPath(("a", "b")),)),
        ClaimMapping(roles=(ClaimPath(("a.b",)),)),
        ClaimMapping(groups=(ClaimPath(("a", "b")),)),
        ClaimMapping(scopes=(ClaimPath(("a", "b")),)),
    ],
    "may_assert": [
        MayAssert(roles=frozenset()),
        MayAssert(groups=frozenset()),
        MayAssert(scopes=frozenset()),
        MayAssert(roles=frozenset({"a"})),
    ],
    "clock_skew_seconds": [0.0],
}


def test_the_digest_changes_with_everything_but_the_place():
    """What was verified under one configuration must never be found under another."""
    assert {field.name for field in dataclasses.fields(Provider)} == {*CHANGES, "span"}
    varied = [make_provider(), *(make_provider(**{k: value}) for k, values in CHANGES.items() for value in values)]
    assert len({configuration_digest(provider) for provider in varied}) == len(varied)
    assert configuration_digest(make_provider(span=Span("moved.yaml", 9, 9))) == configuration_digest(make_provider())


def test_digests_do_not_depend_on_the_order_of_sets():
    """Two processes, and two loads of one policy, agree."""
    names = [f"role{number}" for number in range(50)]
    one, other = (make_provider(may_assert=MayAssert(frozenset(order))) for order in (names, reversed(names)))
    assert configuration_digest(one) == configuration_digest(other)


def test_keys_are_shared_by_what_decides_on_them():
    """A changed audience does not fetch anew; a changed URI, issuer or name does."""
    remote = make_provider(keys=RemoteKeys("https://a"))
    digest = key_source_digest(remote)
    same: list[dict[str, Any]] = [{"audiences": None}, {"algorithms": ("ES256",)}, {"clock_skew_seconds": 0.0}]
    for changes in same:
        assert key_source_digest(dataclasses.replace(remote, **changes)) == digest
    other: list[dict[str, Any]] = [{"name": "b"}, {"issuer": "https://b"}, {"keys": RemoteKeys("https://b")}]
    for changes in other:
        assert key_source_digest(dataclasses.replace(remote, **changes)) != digest


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_loopback_by_name(host, loopback):
    """Only what certainly is this machine."""
    assert is_loopback(host) is loopback
    assert (origin_problem("http", host, allow_http=False) is None) is loopback
