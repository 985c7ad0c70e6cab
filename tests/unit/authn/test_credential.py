import pytest

from extauthz.authn.credential import CredentialFinder
from extauthz.errors import CredentialsAmbiguousError
from extauthz.model.provider import TokenLocation
from tests.strategies import Request

BEARER = TokenLocation(header="authorization", scheme="Bearer")
JWT = TokenLocation(header="authorization", scheme="JWT")
BARE = TokenLocation(header="x-token")
COOKIE = TokenLocation(cookie="session")


def find(headers, *locations, api_keys=("x-api-key",)):
    finder = CredentialFinder(
        [(location, location) for location in locations or (BEARER, BARE, COOKIE)], [(h, h) for h in api_keys]
    )
    return finder.find(Request(headers=headers))


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, None),
        ({"authorization": ["Bearer abc"]}, (BEARER, "abc")),
        ({"authorization": ["bearer abc"]}, (BEARER, "abc")),
        ({"authorization": ["BEARER   abc"]}, (BEARER, "abc")),
        ({"authorization": ["Bearer abc, def"]}, (BEARER, "abc, def")),
        ({"authorization": ["Bearer"]}, (BEARER, "")),
        ({"authorization": ["Bearer "]}, (BEARER, "")),
        ({"authorization": ["Bearer\tabc"]}, None),
        ({"authorization": ["Bearerabc"]}, None),
        ({"authorization": ["Basic abc"]}, None),
        ({"authorization": [""]}, None),
        ({"authorization": ["Basic abc", "Bearer def"]}, (BEARER, "def")),
        ({"authorization": ["Basic abc,Bearer def"]}, (BEARER, "def")),
        ({"authorization": ["Bearer abc,Basic def"]}, (BEARER, "abc,Basic def")),
        ({"authorization": ["Basic abc,Bearerdef"]}, None),
        ({"authorization": ["Basic abc"], "x-api-key": ["k"]}, ("x-api-key", "k")),
        ({"x-token": ["Bearer abc"]}, (BARE, "Bearer abc")),
        ({"x-token": [""]}, (BARE, "")),
        ({"x-api-key": [""]}, ("x-api-key", "")),
        ({"cookie": ["a=b; session=abc; c=d"]}, (COOKIE, "abc")),
        ({"cookie": ["session=abc=="]}, (COOKIE, "abc==")),
        ({"cookie": ['session="abc"']}, (COOKIE, '"abc"')),
        ({"cookie": ["session="]}, (COOKIE, "")),
        ({"cookie": ["session"]}, None),
        ({"cookie": ["Session=abc; xsession=a; session2=b; a=session=c"]}, None),
        ({"cookie": ["a=b", "session=abc"]}, (COOKIE, "abc")),
    ],
)
def test_the_one_credential_is_found(headers, found):
    """Schemes are compared without case, cookies exactly; what is ours and empty is presented."""
    assert find(headers) == found


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": ["Bearer a", "Bearer b"]},
        {"authorization": ["Bearer a", "Bearer a"]},
        {"authorization": ["Bearer a,Bearer b"]},
        {"authorization": ["Bearer a, \tbearer b"]},
        {"authorization": ["Bearer,Bearer b"]},
        {"authorization": ["Bearer a,bearer"]},
        {"authorization": ["Bearer a", "bearer"]},
        {"authorization": ["Bearer a"], "x-token": ["a"]},
        {"authorization": ["Bearer a"], "cookie": ["session=a"]},
        {"authorization": ["Bearer a"], "x-api-key": ["k"]},
        {"x-api-key": ["k", "k"]},
        {"x-api-key": ["k"], "cookie": ["session=a"]},
        {"cookie": ["session=a; session=b"]},
        {"cookie": ["session=a;session=a"]},
        {"cookie": ["session=a", "session="]},
    ],
)
def test_two_credentials_are_ambiguous(headers):
    """Wherever they stand, and even if they are equal."""
    with pytest.raises(CredentialsAmbiguousError):
        find(headers)


def test_several_schemes_share_a_header():
    """Each scheme leads to its own place, and a value without a known scheme to the bare one."""
    bare = TokenLocation(header="authorization")
    assert find({"authorization": ["JWT abc"]}, BEARER, JWT) == (JWT, "abc")
    assert find({"authorization": ["Bearer abc"]}, BEARER, JWT, bare) == (BEARER, "abc")
    assert find({"authorization": ["abc"]}, BEARER, bare) == (bare, "abc")


def test_a_value_that_may_be_a_token_or_a_key_is_ambiguous():
    """A header that holds bare tokens and API keys cannot tell them apart."""
    with pytest.raises(CredentialsAmbiguousError):
        find({"x-token": ["abc"]}, BARE, api_keys=("x-token",))
    assert find({"authorization": ["Bearer abc"]}, BEARER, api_keys=("authorization",)) == (BEARER, "abc")
    assert find({"authorization": ["abc"]}, BEARER, api_keys=("authorization",)) == ("authorization", "abc")
