from collections.abc import Mapping

import pytest

from extauthz.authoring import diff
from extauthz.authoring.diff import MAX_DECISIONS, Comparison, compare
from extauthz.authoring.diff_report import place, who
from tests.policies import HEAD, policy_set
from tests.suites import SHOP

MAPPED = HEAD + "    claims: {roles: roles, groups: groups, scopes: scope}\nroles: {reader: {}, clerk: {}}\n"


def comparison(
    old: str, new: str, files: Mapping[str, str] | None = None, max_decisions: int = MAX_DECISIONS
) -> Comparison:
    return compare(policy_set(old, files), policy_set(new, files), max_decisions=max_decisions)


def found(old: str, new: str) -> list[str]:
    """Every difference in short."""
    return [
        f"{'+' if d.is_widening else '-'} {place(d)}: {who(d)}"
        + "".join(f"; {a.outcome}: {a.text}" for a in d.assumptions)
        for d in comparison(old, new).differences
    ]


def of_rule(old: str, new: str, before: str = MAPPED) -> list[str]:
    text = "routes: [{name: r, path: /r, methods: [PUT], allow: [%s]}]\n"
    return found(before + text % old, before + text % new)


def test_a_set_is_as_itself():
    """Nothing is decided request by request, for it is written alike."""
    same = comparison(SHOP, "# the same\n" + SHOP)
    assert same.is_same
    assert not same.may_widen
    assert (same.situations, same.decisions) == (0, 0)


def test_widening_first():
    """One rule for another: who gains, then who loses."""
    assert of_rule("{role: reader}", "{role: clerk}") == [
        "+ PUT any.example/r: somebody with a token of corp: role clerk",
        "- PUT any.example/r: somebody with a token of corp: role reader",
    ]


def test_smallest_kinds_only():
    """Whoever has more besides is counted."""
    (difference,) = comparison(
        MAPPED + "routes: [{path: /r, allow: [{role: reader, scope: s}]}]\n",
        MAPPED + "routes: [{path: /r, allow: [{role: reader}]}]\n",
    ).differences
    assert who(difference) == "somebody with a token of corp: role reader"
    assert difference.alike == 0
    assert difference.new.why == "allowed (ANY /r.allow.0)"


def test_conditions_are_assumed():
    """What they have to come to is said, as far as it matters."""
    assert of_rule("{role: reader, when: \"claims.a == 'x'\"}", "{role: reader, when: \"claims.a != 'x'\"}") == [
        "+ PUT any.example/r: somebody with a token of corp: role reader; unsatisfied: claims.a == 'x'",
        "- PUT any.example/r: somebody with a token of corp: role reader; satisfied: claims.a == 'x'",
    ]


def test_conditions_that_mean_the_same():
    """Another order, another spelling of the same."""
    old = "{when: \"has(claims.a) && claims.a != 'x'\"}"
    assert of_rule(old, "{when: \"!(claims.a == 'x') && has(claims.a)\"}") == []
    assert of_rule(old, "{when: \"claims.a != 'x'\"}") == []


def test_an_error_of_a_deny_denies():
    """A deny without its guard denies who lacks the claim."""
    text = 'deny: [{when: "%s"}]\nroutes: [{path: /r, methods: [PUT], allow: [{authenticated: true}]}]\n'
    (narrowing,) = found(MAPPED + text % "has(claims.a) && claims.a == 'x'", MAPPED + text % "claims.a == 'x'")
    assert narrowing == ("- PUT any.example/r: somebody with a token of corp; unsatisfied: has(claims.a)")


def test_roles_come_by_other_ways():
    """A binding, or inheritance, under rules that did not change."""
    routes = "routes: [{path: /r, methods: [PUT], allow: [{role: clerk}]}]\n"
    bound = "bindings: [{role: clerk, subjects: [{group: staff}]}]\n"
    assert found(MAPPED + routes, MAPPED + bound + routes) == [
        "+ PUT any.example/r: somebody with a token of corp: group staff"
    ]
    inherits = MAPPED.replace("reader: {}", "reader: {inherits: [clerk]}")
    assert found(MAPPED + routes, inherits + routes) == [
        "+ PUT any.example/r: somebody with a token of corp: role reader"
    ]


def test_routes_that_come_and_go():
    """A new path, a path that a more specific one takes away."""
    routes = 'routes:\n  - {name: all, path: "/**", methods: [GET], allow: [{authenticated: true}]}\n'
    more = "  - {name: one, path: /one, methods: [PUT], public: true}\n"
    assert found(MAPPED + routes, MAPPED + routes + more) == [
        "+ PUT any.example/one: anyone, without a credential",
        "- GET, HEAD any.example/one: somebody with a token of corp",
    ]


def test_preflights():
    """An origin that may, and who had to ask otherwise."""
    routes = "routes: [{path: /r, methods: [PUT], allow: [{authenticated: true}]%s}]\n"
    (widening,) = comparison(
        MAPPED + routes % "", MAPPED + routes % ", cors: {origins: ['https://o.example']}"
    ).differences
    assert widening.new.why == "preflight (PUT /r.cors)"
    assert dict(widening.request.headers) == {"origin": "https://o.example", "access-control-request-method": "PUT"}


def test_credentials_of_another_provider():
    """A name that no longer counts on the route."""
    two = (
        "version: 1\nproviders:\n"
        + "".join(
            f"  {n}: {{issuer: 'https://{n}.example', audiences: [s], algorithms: [RS256], "
            f"jwks: {{uri: 'https://{n}.example/k'}}, may_assert: all}}\n"
            for n in "ab"
        )
        + "routes: [{path: /r, methods: [PUT], allow: [{authenticated: true}]%s}]\n"
    )
    assert found(two % "", two % ", providers: [a]") == ["- PUT any.example/r: somebody with a token of b"]


def test_paths_that_one_set_refuses():
    """An ambiguous path may reach a route."""
    routes = 'routes: [{path: "/r/{x}", methods: [PUT], public: true}]\n'
    kept = "paths: {encoded_slash: keep}\n"
    assert found(MAPPED + routes, MAPPED + kept + routes) == ["+ PUT any.example/r/a%2Fb: anyone, without a credential"]


def test_opaque_conditions_are_named():
    """What only one of the sets has, where it had a say."""
    text = MAPPED + 'routes: [{path: /r, allow: [{when: "claims.n < %s"}]}]\n'
    compared = comparison(text % "1.0", text % "2.0")
    assert [(each.text, each.is_new, each.span.line) for each in compared.unshared] == [
        ("claims.n < 1.0", False, 11),
        ("claims.n < 2.0", True, 11),
    ]


REGO = "package t\n\nallow if input.claims.n == %d\n\nmore if input.claims.m\n"


def test_the_same_rego_is_the_same():
    """In whatever set it stands: what is changed beside it is found, and nothing else."""
    text = MAPPED + "routes: [{path: /r, methods: [PUT], allow: [{rego: data.t.allow}%s]}]\n"
    files = {"t.rego": REGO % 1}
    same = compare(policy_set(text % "", files), policy_set("\n" + text % "", files))
    assert same.is_same
    more = compare(policy_set(text % "", files), policy_set(text % ", {rego: data.t.more}", files))
    assert more.may_widen
    assert [each.text for each in more.unshared] == ["data.t.more"]


def test_other_rego_is_opaque():
    """What its modules or data changed is not told, only that they did."""
    text = MAPPED + "routes: [{path: /r, methods: [PUT], %s}]\n"
    for keys in ("allow: [{rego: data.t.allow}]", "decision: {rego: data.t.allow}"):
        old, new = (policy_set(text % keys, {"t.rego": REGO % n}) for n in (1, 2))
        compared = compare(old, new)
        assert compared.may_widen
        assert [(each.text, each.is_new) for each in compared.unshared] == [
            ("data.t.allow", False),
            ("data.t.allow", True),
        ]


def test_limits_are_told(monkeypatch):
    """Work left undone is never equality; what was found until then stays."""
    text = MAPPED + 'routes: [{path: /r, methods: [PUT], allow: [{when: "%s"}]}]\n'
    long = " || ".join(f"claims.c{n} == 'x'" for n in range(9))
    compared = comparison(text % long, text % f"{long} || claims.more == 'x'", max_decisions=50)
    assert compared.limits == ("PUT any.example/r: there are too many kinds of requests",)
    assert not compared.is_same
    assert compared.may_widen
    assert compared.decisions == 50
    monkeypatch.setattr(diff, "MAX_DECISIONS_PER_SITUATION", 50)
    assert comparison(text % long, text % "claims.more == 'x'").limits


def test_settings_keep_sets_from_being_the_same():
    """A provider that vouches for others may let more through."""
    routes = "routes: [{path: /r, allow: [{authenticated: true}]}]\n"
    compared = comparison(MAPPED + routes, MAPPED.replace("[shop]", "[other]") + routes)
    assert [setting.text for setting in compared.settings] == ["provider corp: audiences"]
    assert compared.differences == ()
    assert (compared.is_same, compared.may_widen) == (False, True)


def test_progress():
    """Told before each pair of routes, and at the end."""
    told: list[tuple[int, int]] = []
    routes = "routes: [{path: /r, allow: [{scope: %s}]}]\n"
    old, new = (policy_set(MAPPED + routes % scope) for scope in "st")
    compare(old, new, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 1), (1, 1)]


@pytest.mark.parametrize("name", ["a,b", "é"])
def test_roles_that_no_header_carries(name):
    """Where roles are put upstream, one that cannot be is denied."""
    head = MAPPED.replace("reader: {}", f"reader: {{}}, '{name}': {{}}")
    text = head + 'upstream_headers: {set: {x-roles: "{principal.roles}"}}\nroutes: [{path: /r, methods: [PUT], %s}]\n'
    differences = found(text % "allow: [{role: reader}]", text % "allow: [{role: [reader, clerk]}]")
    assert differences == ["+ PUT any.example/r: somebody with a token of corp: role clerk"]
