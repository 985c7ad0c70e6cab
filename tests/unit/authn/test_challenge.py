import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz import errors
from extauthz.authn.challenge import challenge_for
from extauthz.model.decision import Reason
from extauthz.model.policy import ResponseSettings

PLAIN = ResponseSettings()
QUOTED = re.compile(r'Bearer (?:[a-z_]+="(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"(?:, |$))+')


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason.CREDENTIAL_MISSING, "Bearer"),
        (Reason.API_KEY_UNKNOWN, "Bearer"),
        (Reason.TOKEN_EXPIRED, 'Bearer error="invalid_token"'),
        (Reason.CREDENTIALS_AMBIGUOUS, 'Bearer error="invalid_request"'),
        (Reason.INSUFFICIENT_SCOPE, 'Bearer error="insufficient_scope", scope="a b"'),
        (Reason.NO_MATCHING_ALLOW, None),
        (Reason.KEY_SET_UNAVAILABLE, None),
        (Reason.PATH_AMBIGUOUS, None),
    ],
)
def test_the_error_follows_the_reason(reason, expected):
    """RFC 6750 section 3.1; the scope is named only where it was what lacked."""
    assert challenge_for(PLAIN, reason, ("a", "b")) == expected


def test_realm_and_metadata_are_named():
    """Both of the settings stand in every challenge, RFC 9728 section 5.1."""
    settings = ResponseSettings(realm="shop", resource_metadata="https://shop.example/.well-known/x")
    assert challenge_for(settings, Reason.TOKEN_EXPIRED) == (
        'Bearer realm="shop", error="invalid_token", resource_metadata="https://shop.example/.well-known/x"'
    )


def test_every_authentication_failure_has_a_challenge():
    """RFC 9110 section 15.5.2: a 401 MUST carry one."""
    reasons = {cls.reason for cls in errors.AuthnError.__subclasses__()}
    assert len(reasons) > 10
    assert all(challenge_for(PLAIN, reason) for reason in reasons)


@given(st.text(min_size=1), st.lists(st.text(min_size=1), min_size=1))
def test_no_text_breaks_out_of_its_quotes(realm, scopes):
    """Quotes, backslashes and line breaks in settings never start a parameter or a header of their own."""
    value = challenge_for(ResponseSettings(realm=realm), Reason.INSUFFICIENT_SCOPE, scopes)
    assert value is not None
    assert QUOTED.fullmatch(value)
