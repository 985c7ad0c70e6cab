import pytest

from extauthz.authoring.suite import AssumedPrincipal, Caller, MintedToken
from extauthz.model.access import Principal
from tests.policies import TWO_PROVIDERS, policy_set
from tests.suites import findings, suite

TEST = "tests: [{name: a, principal: %s, request: {path: /orders}, expect: deny}]"


def caller_of(principal: str) -> Caller:
    """A caller who is declared under the name `who`."""
    (case,) = suite(f"principals: {{who: {principal}}}\n" + TEST % "who").cases
    assert case.caller_name == "who"
    return case.caller


def test_token_is_minted_with_its_claims():
    """The provider is the only one, the subject the caller's name, unless the token says otherwise."""
    caller = caller_of("{token: {roles: [clerk]}, expires_in: -10m, tampered: true}")
    assert isinstance(caller, MintedToken)
    assert (caller.provider.name, caller.subject, caller.claims) == ("corp", "who", {"roles": ["clerk"]})
    assert (caller.expires_in_seconds, caller.tampered) == (-600.0, True)


def test_claims_are_mapped_as_the_provider_says():
    """Roles and scopes come from where the provider's mapping finds them."""
    caller = caller_of("{claims: {roles: [clerk, unknown], scope: a b}}")
    claims = {"sub": "who", "roles": ["clerk", "unknown"], "scope": "a b"}
    assert caller == AssumedPrincipal(
        Principal(True, "who", "corp", roles=("clerk",), scopes=("a", "b"), claims=claims)
    )


def test_principal_is_taken_as_written():
    """Beside a written subject or role, claims are only what conditions read."""
    caller = caller_of("{subject: s, roles: clerk, groups: [g], scopes: [x], claims: {store: berlin}}")
    assert caller == AssumedPrincipal(
        Principal(True, "s", "corp", ("clerk",), ("g",), ("x",), claims={"store": "berlin"})
    )


@pytest.mark.parametrize(
    ("principal", "finding"),
    [
        ("{}", "EAZ202 the principal is nobody"),
        ("{provider: corp}", "EAZ202 the principal is nobody"),
        ("{roles: [clrk]}", "EAZ301 there is no role 'clrk' (did you mean 'clerk'?)"),
        ("{subject: a, provider: crp}", "EAZ302 there is no provider 'crp' (did you mean 'corp'?)"),
        ("{token: {}, claims: {}}", "EAZ207 a minted token says who the caller is"),
        ("{token: {}, roles: [clerk]}", "EAZ207 a minted token says who the caller is"),
        ("{claims: {}, tampered: true}", "EAZ207 'tampered' is about a `token`"),
        ("{claims: {}, expires_in: 1h}", "EAZ207 'expires_in' is about a `token`"),
        ("{token: {}, expires_in: soon}", "EAZ206 'soon' is not a duration"),
        ("{claims: {roles: 7}}", "EAZ308 claim roles must be a string or a list of strings"),
    ],
)
def test_caller_who_cannot_be_is_refused(principal, finding):
    """Each mistake is reported once, where the caller is declared."""
    (found,) = findings(f"principals: {{who: {principal}}}\n" + TEST % "who")
    assert found.startswith("1:")
    assert found.split(": ", 1)[1].startswith(finding)


def test_caller_without_a_name_needs_a_subject():
    """A caller written in place has no name that could be the subject."""
    (found,) = findings(TEST % "{roles: [clerk]}")
    assert found == "1:19: EAZ202 an authenticated caller has a subject (write `subject: alice`)"
    (case,) = suite(TEST % "{subject: a, roles: [clerk]}").cases
    assert isinstance(case.caller, AssumedPrincipal)


def test_nobody_can_be_called_anonymous():
    """The name is taken by the caller without a credential."""
    (found,) = findings("principals: {anonymous: {roles: [clerk]}}\n" + TEST % "anonymous")
    assert found.startswith("1:14: EAZ303 'anonymous' is the caller without a credential")
    (case,) = suite(TEST % "anonymous").cases
    assert case.caller is None


def test_several_providers_want_one_named():
    """Who vouches is never guessed; `defaults` may say it for all."""
    routes = "routes: [{name: a, path: /orders, allow: [{authenticated: true}]}]\n"
    two = policy_set(TWO_PROVIDERS + routes)
    text = "principals: {who: {token: {}}}\n" + TEST % "who"
    (found,) = findings(text, two)
    assert found == "1:14: EAZ202 nobody vouches for the caller: `provider` is missing (there are corp, partner)"
    (case,) = suite("defaults: {provider: partner}\n" + text, two).cases
    assert isinstance(case.caller, MintedToken)
    assert case.caller.provider.name == "partner"


def test_api_keys_have_no_claims():
    """A caller known by a key is written by subject and roles, or sends the key itself."""
    keys = "- {sha256: " + "a" * 64 + ", subject: m}\n"
    head = "version: 1\nproviders: {machines: {api_keys: {file: k.yaml}}}\n"
    machines = policy_set(head + "routes: [{name: a, path: /orders, allow: [{authenticated: true}]}]", {"k.yaml": keys})
    (found,) = findings("principals: {who: {claims: {}}}\n" + TEST % "who", machines)
    assert found.startswith("1:14: EAZ302 'machines' knows callers by API keys: they have no claims")
    assert findings("principals: {who: {subject: m}}\n" + TEST % "who", machines) == []
