from extauthz.lowering.plan import ALLOW_PREFIX, Verdict
from extauthz.lowering.planner import make_plan
from tests.policies import policy_set

HEAD = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [RS256]
    jwks: {uri: https://issuer.example/jwks}
    claims: {roles: roles}
"""


def plan(text, head=HEAD):
    return make_plan(policy_set(head + text))


def verdicts(made, kind):
    return {item.id: item.verdict for item in made.items if item.kind == kind}


def test_each_rule_of_each_route_for_each_kind_of_caller_is_a_policy():
    """Their names lead back to the source, and all of them allow."""
    made = plan("""\
routes:
  - {name: a, path: /a, allow: [{name: r, authenticated: true}]}
  - {name: b, path: /b, authentication: optional, allow: [{anyone: true}]}
  - {name: c, path: /c, public: true}
""")
    assert sorted(made.native_policies) == [
        "allow_0000_a/a.allow.r/provider_corp",
        "allow_0000_b/b.allow.0/anonymous",
        "allow_0000_b/b.allow.0/provider_corp",
        "allow_0000_c/c.public/anybody",
    ]
    assert all(name.startswith(ALLOW_PREFIX) for name in made.native_policies)
    assert made.residual == ()


def test_a_deny_that_is_not_exact_takes_the_whole_route():
    """Each allow says why; other routes stay native."""
    made = plan("""\
routes:
  - {name: a, path: /a, allow: [{name: r, authenticated: true}], deny: [{name: d, when: "body.x == 1"}]}
  - {name: b, path: /b, allow: [{authenticated: true}]}
""")
    assert [name for name in made.native_policies if "a.allow" in name] == []
    reasons = {item.id: list(item.reasons) for item in made.residual}
    assert reasons == {
        "a.allow.r": ["on route a, a.deny.d stays with the authorizer"],
        "a.deny.d": ["it reads body"],
    }


def test_an_allow_that_is_not_exact_leaves_the_others():
    """An allow is enough, so what Envoy can tell it decides."""
    made = plan("""\
routes:
  - {name: a, path: /a, allow: [{name: x, when: "body.x == 1"}, {name: y, authenticated: true}]}
""")
    assert list(made.native_policies) == ["allow_0000_a/a.allow.y/provider_corp"]
    assert verdicts(made, "allow") == {"a.allow.x": Verdict.RESIDUAL, "a.allow.y": Verdict.NATIVE}


def test_a_rule_that_never_holds_is_no_policy():
    """It is native all the same: nothing is left to the authorizer."""
    made = plan("""\
routes:
  - {name: a, path: /a, authentication: optional, allow: [{name: x, authenticated: true}]}
""")
    assert list(made.native_policies) == ["allow_0000_a/a.allow.x/provider_corp"]
    assert made.residual == ()


def test_callers_whom_envoy_does_not_know_are_reported():
    """API keys, and tokens under a shared secret; their routes are native for the others."""
    made = make_plan(
        policy_set(
            """\
version: 1
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [HS256]
    secret_file: secret
    may_assert: all
  machines: {api_keys: {file: keys.yaml}, may_assert: all}
routes:
  - {name: a, path: /a, allow: [{authenticated: true}]}
""",
            {"secret": "s" * 40, "keys.yaml": f"[{{sha256: {'ab' * 32}, subject: machine}}]"},
        )
    )
    assert verdicts(made, "provider") == {"corp": Verdict.RESIDUAL, "machines": Verdict.RESIDUAL}
    assert made.native_policies == {}
    assert made.providers == ()


def test_a_preflight_comes_before_the_rules_of_its_route():
    """Its profile is the first, so that its policy matches first wherever both do."""
    made = plan("""\
defaults: {cors: {origins: ["https://app.example"]}}
upstream_headers: {set: {x-user: "{principal.subject}"}}
routes:
  - {name: a, path: /a, allow: [{authenticated: true}]}
""")
    assert sorted(made.native_policies) == [
        "allow_0000_a/a.cors",
        "allow_0001_a/a.allow.0/provider_corp",
    ]
    assert verdicts(made, "preflight") == {"a.cors": Verdict.NATIVE}


def test_routes_with_the_same_headers_share_a_profile():
    """One filter each, however many routes."""
    made = plan("""\
upstream_headers: {set: {x-user: "{principal.subject}"}}
routes:
  - {name: a, path: /a, allow: [{authenticated: true}]}
  - {name: b, path: /b, allow: [{authenticated: true}]}
  - {name: c, path: /c, allow: [{authenticated: true}], upstream_headers: {remove: [cookie]}}
""")
    assert len(made.profiles) == 3
    assert made.policy_prefix(2) == "allow_0002_"


def test_a_rule_that_takes_too_many_policies_is_not_exact():
    """Alternatives of tests and of CEL multiply with every deny."""
    denies = ", ".join(f"{{name: d{n}, subject: s{n}, when: \"claims.a == 'b'\"}}" for n in range(8))
    made = plan(f"""\
routes:
  - {{name: a, path: /a, allow: [{{authenticated: true}}], deny: [{denies}]}}
""")
    (item,) = made.residual
    assert (item.id, list(item.reasons)) == ("a.allow.0", ["it takes more than 64 native policies"])


def test_what_is_not_allowed_on_an_exact_route_is_denied():
    """By 401 for nobody, by 403 for who is known, and where no route is as for any other request."""
    made = plan("""\
routes:
  - {name: a, path: /a, methods: [GET], allow: [{authenticated: true}]}
  - {name: b, path: /b, authentication: optional, allow: [{role: r}]}
roles: {r: {permissions: [p]}}
""")
    assert sorted(made.denial_policies) == [
        "2_credential_missing/1_1b",
        "2_credential_missing/1_2b",
        "2_credential_missing/a",
        "2_credential_missing/b/anonymous",
        "2_credential_missing/nowhere",
        "3_forbidden/1_1b/provider_corp",
        "3_forbidden/1_2b/provider_corp",
        "3_forbidden/a/provider_corp",
        "3_forbidden/b/anonymous",
        "3_forbidden/b/provider_corp",
        "3_forbidden/nowhere/provider_corp",
    ]


def test_nothing_is_denied_where_a_rule_is_the_authorizers():
    """It might allow; whoever presents nothing is refused all the same, before any rule."""
    made = plan("""\
routes:
  - {name: a, path: /a, allow: [{when: "body.x == 1"}, {authenticated: true}]}
""")
    assert [name for name in made.denial_policies if "/a" in name] == ["2_credential_missing/a"]


def test_nothing_is_denied_where_envoy_may_lack_a_time_zone():
    """The condition would err there, and the authorizer knows the zone."""
    rule = "request.time.getHours('Europe/Berlin') > 8"
    made = plan(f"""\
routes:
  - {{name: a, path: /a, allow: [{{when: "{rule}"}}]}}
""")
    assert list(made.native_policies) == ["allow_0000_a/a.allow.0/provider_corp"]
    assert [name for name in made.denial_policies if "/a" in name] == ["2_credential_missing/a"]


def test_a_challenge_names_the_scopes_of_the_first_rule_that_lacks_nothing_else():
    """In the order of the rules, whatever the scopes are called."""
    made = plan(
        """\
routes:
  - {name: a, path: /a, allow: [{scope: z}, {scope: [b, c], subject: alice}]}
""",
        HEAD.replace("roles: roles", "scopes: scope"),
    )
    assert made.challenged_scopes == (("z",), ("b", "c"))
    assert sorted(name for name in made.denial_policies if name.startswith("1_")) == [
        "1_insufficient_scope/0000/0000/a/provider_corp",
        "1_insufficient_scope/0001/0001/a/provider_corp",
    ]
