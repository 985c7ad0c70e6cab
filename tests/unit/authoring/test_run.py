import json

import pytest

from extauthz.model.decision import Reason
from tests.policies import policy_set
from tests.suites import SHOP, results

HEAD = """\
principals:
  clerk: {token: {roles: [clerk]}}
  reader: {claims: {roles: [reader]}}
  friend: {groups: friends}
"""

MACHINE = "{subject: m, provider: machines}"


def decided(principal: str, request: str = "{path: /orders}", tested=None) -> str:
    """The reason of one decision."""
    text = f"{HEAD}tests: [{{name: a, principal: {principal}, request: {request}, expect: allow}}]"
    (result,) = results(text, tested)
    assert result.decision is not None, result.problem
    return str(result.decision.reason)


@pytest.mark.parametrize(
    ("principal", "reason"),
    [
        ("clerk", "allowed"),
        ("reader", "allowed"),
        ("friend", "no_matching_allow"),
        ("anonymous", "credential_missing"),
        ("{token: {sub: a}}", "no_matching_allow"),
        ("{token: {sub: a}, expires_in: -1h}", "token_expired"),
        ("{token: {sub: a, nbf: 1900000000}}", "token_not_yet_valid"),
        ("{token: {sub: a}, tampered: true}", "signature_invalid"),
        ("{token: {sub: a, aud: bakery}}", "audience_mismatch"),
        ("{token: {sub: a, aud: null}}", "audience_mismatch"),
        ("{token: {sub: a, exp: null}}", "claim_missing"),
        ("{token: {sub: a, iss: 'https://other.example'}}", "issuer_unknown"),
        ("{token: {sub: null}}", "claim_invalid"),
        ("{token: {}}", "claim_invalid"),
        ("{token: {sub: a, roles: 7}}", "claim_invalid"),
    ],
)
def test_minted_token_goes_through_the_whole_authentication(principal, reason):
    """A token that is expired, forged, or meant for others is refused for its reason."""
    assert decided(principal) == reason


def test_request_may_bring_its_own_credential():
    """Headers are looked at whoever is said to ask, and two credentials are one too many."""
    request = "{path: /orders, headers: {authorization: Bearer garbage}}"
    assert decided("anonymous", request) == "token_malformed"
    assert decided("clerk", request) == "credentials_ambiguous"


def test_token_stands_where_the_provider_reads_it():
    """In a cookie, or bare in a header of the provider's own."""
    for tokens in ("[{cookie: session}]", "[{header: x-token}]", "[{header: x-token, scheme: Token}]"):
        tested = policy_set(SHOP.replace("    claims: {", f"    tokens: {tokens}\n    claims: {{", 1))
        assert decided("clerk", tested=tested) == "allowed"


@pytest.mark.parametrize("algorithm", ["ES384", "ES512", "EdDSA", "RS256", "PS256"])
def test_any_algorithm_of_a_provider_can_be_signed_with(algorithm):
    """The run's key is of a kind that the provider accepts, and really verified."""
    tested = policy_set(SHOP.replace("[ES256]", f"[{algorithm}]"))
    assert decided("clerk", tested=tested) == "allowed"
    assert decided("{token: {sub: a}, tampered: true}", tested=tested) == "signature_invalid"


def test_shared_secret_signs_too():
    """A provider with an HMAC secret verifies by it."""
    keys = "algorithms: [HS256]\n    secret_file: s.txt"
    text = SHOP.replace("algorithms: [ES256]\n    jwks: {uri: https://issuer.example/jwks.json}", keys)
    tested = policy_set(text, {"s.txt": "s" * 40})
    assert decided("clerk", tested=tested) == "allowed"


def test_differences_fail_a_test():
    """A test passes if nothing differs, and only then."""
    text = HEAD + "requests: {list: {path: /orders}}\ntables: [{name: t, expect: {clerk: {list: %s}}}]"
    assert results(text % "allow")[0].passed
    (failed,) = results(text % "deny")
    assert not failed.passed
    assert [d.what for d in failed.differences] == ["effect"]


def test_caller_of_a_provider_that_does_not_count_is_no_answer():
    """In service such a caller is not known on the route: a test that assumes them says nothing, and fails."""
    two = SHOP.replace("providers:\n", "providers:\n  machines: {api_keys: {file: k.yaml}, may_assert: none}\n")
    two = two.replace("    claims: {roles", "    may_assert: all\n    claims: {roles")
    two = two.replace("defaults: {", "defaults: {providers: [corp], ")
    two = two.replace("{name: friends, group: friends}", "{name: friends, group: friends, provider: corp}")
    tested = policy_set(two, {"k.yaml": f"- {{sha256: {'a' * 64}, subject: m}}\n"})
    for path, where in (("/orders", "route list"), ("/nowhere", "a request that no route owns")):
        text = f"tests: [{{name: a, principal: {MACHINE}, request: {{path: {path}}}, expect: deny}}]"
        (result,) = results(text, tested)
        assert result.decision is None
        assert not result.passed
        assert result.problem == (
            f"credentials of provider machines do not count on {where}: write `token` to test what comes of them"
        )
    text = f"tests: [{{name: a, principal: {MACHINE}, request: {{path: /healthz}}, expect: allow}}]"
    assert results(text, tested)[0].passed


def test_capture_is_decided_for_an_assumed_caller():
    """A captured request, whose token has long expired, can be decided as if it were good."""
    http = {"method": "GET", "path": "/orders", "host": "shop.example", "headers": {"authorization": "Bearer x.y.z"}}
    files = {"c.json": json.dumps({"attributes": {"request": {"http": http}}}).encode()}
    text = HEAD + "tests: [{name: a, principal: %s, request: {capture: c.json}, expect: allow}]"
    assert results(text % "reader", files=files)[0].passed
    (result,) = results(text % "anonymous", files=files)
    assert result.decision is not None
    assert result.decision.reason is Reason.TOKEN_MALFORMED
