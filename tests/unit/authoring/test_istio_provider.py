import pytest

from extauthz.authoring.istio_provider import read_provider
from extauthz.errors import ConfigurationError

ISSUER = {"issuer": "https://issuer.example", "forwardOriginalToken": True}


def provider(**rule):
    told: list[str] = []
    return read_provider(ISSUER | rule, "jwtRules[0]", told.append), told


def test_places_that_cannot_be_read_deny():
    """By default Istio looks into the query, too: such a request must not count as one without a token."""
    found, told = provider()
    assert found.document["tokens"] == [{"header": "authorization", "scheme": "Bearer"}]
    assert '"\\"access_token\\" in request.query"' in "".join(found.denies())
    assert told == ["jwtRules[0]: a token in the query's access_token cannot be read: requests with it are denied"]
    odd, _ = provider(fromCookies=["session"], fromHeaders=[{"name": "X-Jwt", "prefix": "jwt:"}])
    assert odd.document["tokens"] == [{"cookie": "session"}]
    assert '"\\"x-jwt\\" in request.headers"' in "".join(odd.denies())


def test_keys_come_from_where_the_rule_says():
    """Inline, from a URL, or through the issuer's metadata."""
    assert provider(jwks='{"keys": []}')[0].document["jwks"] == {"inline": {"keys": []}}
    assert provider(jwksUri="http://keys/jwks")[0].document["jwks"] == {"uri": "http://keys/jwks", "allow_http": True}
    assert provider()[0].document["jwks"] == {"discovery": True}


def test_headers_that_istio_changes_are_hidden():
    """A token that is taken away and a claim that is put there are not what the caller sent."""
    headers = [{"name": "Authorization", "prefix": "Bearer "}]
    found, told = provider(
        forwardOriginalToken=False,
        fromHeaders=headers,
        outputClaimToHeaders=[{"header": "X-Sub", "claim": "sub"}],
        outputPayloadToHeader="X-Payload",
    )
    assert found.hidden_headers == {"authorization", "x-sub", "x-payload"}
    assert len(told) == 3


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"issuer": ""}, "issuer is missing"),
        ({"jwks": "keys"}, "jwks is no JWK Set"),
        ({"jwksUri": 7}, "jwksUri is no text"),
        ({"fromHeaders": [{"prefix": "x "}]}, "an item of fromHeaders is no name with a prefix"),
        ({"fromParams": ["t"]}, "none of the places where it has tokens can be read"),
    ],
)
def test_malformed_rules_are_refused(rule, message):
    """With their place."""
    with pytest.raises(ConfigurationError) as caught:
        provider(**rule)
    assert message in str(caught.value)
