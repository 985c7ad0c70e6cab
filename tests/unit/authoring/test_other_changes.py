import dataclasses

from extauthz.authoring.other_changes import Setting, other_changes
from extauthz.authoring.situation import Pair
from extauthz.model.policy import PolicySet, ResponseFormat, ResponseSettings
from extauthz.model.provider import StaticKeys
from tests.policies import HEAD, ROUTE, policy_set

KEYS = '- {sha256: "%s", subject: robot}\n' % ("a" * 64)


def changes(old: PolicySet, new: PolicySet) -> list[Setting]:
    return list(other_changes(old, new, [Pair(o, n) for o, n in zip(old.routes, new.routes, strict=True)]))


def test_nothing_changed():
    """Not where the same keys come from another file, either."""
    old = policy_set(HEAD + ROUTE)
    assert changes(old, old) == []
    static = [
        dataclasses.replace(
            old, providers=(dataclasses.replace(old.providers[0], keys=StaticKeys({"keys": []}, origin)),)
        )
        for origin in ("a.json", "b.json")
    ]
    assert changes(*static) == []


def test_providers():
    """What makes a token good, or says what it means."""
    new = HEAD.replace("[shop]", "[shop, other]").replace("RS256", "ES256") + "    claims: {roles: roles}\n" + ROUTE
    assert changes(policy_set(HEAD + ROUTE), policy_set(new)) == [
        Setting("provider corp: audiences, algorithms, claims", may_widen=True)
    ]


def test_api_keys():
    """Another header carries them."""
    text = "version: 1\nproviders: {keys: {api_keys: {file: k.yaml}, may_assert: none}}\n" + ROUTE
    old, new = (policy_set(t, {"k.yaml": KEYS}) for t in (text, text.replace("k.yaml}", "k.yaml, header: x-k}")))
    assert changes(old, new) == [Setting("provider keys: header", may_widen=True)]


def test_responses():
    """They let nothing through."""
    old = policy_set(HEAD + ROUTE)
    new = dataclasses.replace(old, responses=ResponseSettings(ResponseFormat.TEXT))
    assert changes(old, new) == [Setting("responses", may_widen=False)]


def test_upstream_headers():
    """One that is set can refuse a request: without it, that passes."""
    headers = 'upstream_headers: {set: {x-user: "{principal.subject}"}}\n'
    without, with_it = policy_set(HEAD + ROUTE), policy_set(HEAD + headers + ROUTE)
    assert changes(without, with_it) == [Setting("upstream headers of route orders", may_widen=False)]
    assert changes(with_it, without) == [Setting("upstream headers of route orders", may_widen=True)]
