import pytest

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import SourceText, parse_policy_set
from extauthz.languages.policy_yaml.rego import RegoSources
from extauthz.languages.rego import DataFile, Module
from extauthz.languages.rego.condition import RegoCondition
from extauthz.model.policy import When
from extauthz.sources.rego_planner import plan_with_regopy

POLICY = """version: 1
routes:
  - {{name: a, path: /a, authentication: none, allow: [{rule}]}}
"""
MODULE = Module("rules.rego", "package shop.reports\n\nallow if input.path.id == data.id\n\nf(x) := x\n")


def rego(*modules: Module, data: str = '{"id": "1"}') -> RegoSources:
    return RegoSources(modules, [DataFile("data.json", (), data.encode())], plan_with_regopy)


def parsed(rule: str, sources: RegoSources | None, policy: str = POLICY):
    text = policy.format(rule=rule).encode()
    return parse_policy_set([SourceText("policy.yaml", text)], read_file=lambda _: b"", rego=sources)


def problems(rule: str, sources: RegoSources | None, policy: str = POLICY) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parsed(rule, sources, policy)
    return [f"{d.span}: {d.code} {d.message} ({d.hint})" for d in caught.value.diagnostics]


def test_a_rule_by_its_name():
    """It becomes a condition, beside the others of its rule."""
    (route,) = parsed("{remote_ip: 10.0.0.0/8, rego: data.shop.reports.allow}", rego(MODULE)).policy_set.routes
    _, key = route.allow[0].conditions
    assert isinstance(key, When)
    assert isinstance(key.condition, RegoCondition)
    assert (key.condition.text, key.condition.path) == ("data.shop.reports.allow", "shop/reports/allow")
    assert str(key.condition.span) == "policy.yaml:3:85"


def test_packages_with_names_that_are_no_identifiers():
    """Written in brackets, as in Rego."""
    module = Module("r.rego", '# METADATA\n# title: x\npackage shop["my-reports"]\n\nallow if true\n')
    (route,) = parsed("""{rego: 'data.shop["my-reports"].allow'}""", rego(module)).policy_set.routes
    (key,) = route.allow[0].conditions
    assert isinstance(key, When)
    assert isinstance(key.condition, RegoCondition)
    assert key.condition.path == "shop/my-reports/allow"


def test_the_revision_is_of_all_files():
    """Another module or other data is another revision."""
    revisions = {
        parsed("{rego: data.shop.reports.allow}", sources).policy_set.revision
        for sources in (
            rego(MODULE),
            rego(MODULE, data='{"id": "2"}'),
            rego(Module("rules.rego", MODULE.text + "\n# more\n")),
        )
    }
    assert len(revisions) == 3


def test_names_that_no_module_defines():
    """An error where the name stands, with the one that it resembles; a function and data are no rules."""
    assert problems("{rego: data.shop.reports.alow}", rego(MODULE)) == [
        "policy.yaml:3:62: EAZ860 no module defines 'data.shop.reports.alow' (did you mean 'data.shop.reports.allow'?)"
    ]
    assert "EAZ860" in problems("{rego: data.shop.reports.f}", rego(MODULE))[0]
    assert "EAZ860" in problems("{rego: data.id}", rego(MODULE))[0]
    assert "must stand in a *.rego file" in problems("{rego: data.shop.reports.allow}", None)[0]


@pytest.mark.parametrize("name", ["shop.allow", "data", "data.a-b", "data.a[0]", "data.a.b ", 'data.a["x/y"]'])
def test_texts_that_name_no_rule(name):
    """A name has a form, and what has another one is no name."""
    assert "EAZ206" in problems(f"{{rego: {name!r}}}", rego(MODULE))[0]


def test_broken_modules_are_reported_beside_the_policy():
    """One stream of diagnostics, each at its place; a rule of a module that is broken is not reported again."""
    broken = Module("broken.rego", "package other\n\nr if nope(1)\n")
    found = problems("{rego: data.shop.reports.allow, when: nope}", rego(MODULE, broken))
    assert [line.split(" ")[1] for line in found] == ["EAZ852", "EAZ801"]
    assert found[0].startswith("broken.rego:3:")


def test_unused_modules_are_compiled_nevertheless():
    """A module that nothing names yet is checked like any other, and one without rules is no error."""
    broken = Module("broken.rego", "package other\n\nr if\n")
    assert "broken.rego" in problems("{anyone: true, remote_ip: 10.0.0.0/8}", rego(broken))[0]
    parsed("{anyone: true}", rego(Module("empty.rego", "package empty\n\nimport rego.v1\n# nothing\n")))


def test_broken_data():
    """A data document that cannot be used is an error of the set."""
    assert "data.json:1:1: EAZ859" in problems("{rego: data.shop.reports.allow}", rego(MODULE, data="[]"))[0]


def test_owned_headers_are_not_to_be_read():
    """As for CEL: callers cannot send them, so a rule on one means nothing."""
    module = Module(
        "r.rego", 'package t\n\nr if input.attributes.request.http.headers["x-user"] == "a"\n\nwhole if input\n'
    )
    policy = POLICY + "upstream_headers: {{set: {{x-user: a}}}}\n"
    assert "EAZ704" in problems("{rego: data.t.r}", rego(module), policy)[0]
    parsed("{rego: data.t.whole}", rego(module), policy)


PROVIDERS = """version: 1
providers:
  one: &p {{issuer: "https://one.example", audiences: [x], algorithms: [RS256], jwks: {{uri: "https://one.example/k"}},
            may_assert: all}}
  two: {{issuer: "https://two.example", audiences: [x], algorithms: [RS256], jwks: {{uri: "https://two.example/k"}},
         may_assert: all}}
routes:
  - {{name: a, path: /a, allow: [{rule}]}}
"""


@pytest.mark.parametrize(
    ("body", "provider", "is_ambiguous"),
    [
        ('input.principal.subject == "a"', "", True),
        ("input.claims.admin", "", True),
        ("input.claims.admin", ", provider: one", False),
        ('input.claims.admin; input.principal.provider == "one"', "", False),
        ('"admin" in input.principal.roles', "", False),
    ],
)
def test_identities_need_their_provider(body, provider, is_ambiguous):
    """Where several providers count, a rule that reads who the caller is must read or name who says so."""
    sources = rego(Module("r.rego", f"package t\n\nr if {{ {body} }}\n"))
    rule = f"{{rego: data.t.r{provider}}}"
    if is_ambiguous:
        assert "EAZ409" in problems(rule, sources, PROVIDERS)[0]
    else:
        parsed(rule, sources, PROVIDERS)


DECIDED = """version: 1
allow: [{{name: all, anyone: true}}]
routes:
  - {{name: a, path: /a, authentication: none, {keys}}}
"""


def decided(keys: str, more: str = ""):
    text = (DECIDED.format(keys=keys) + more).encode()
    source = SourceText("policy.yaml", text)
    return parse_policy_set([source], read_file=lambda _: b"", rego=rego(MODULE)).policy_set


def found_in(keys: str, more: str = "") -> list[str]:
    with pytest.raises(PolicyError) as caught:
        decided(keys, more)
    return [d.code for d in caught.value.diagnostics]


def test_a_decision_stands_alone():
    """It is the route's one allow rule, whatever is allowed around it, and owns the headers that it lists."""
    policy_set = decided("decision: {rego: data.shop.reports.allow, headers: [X-Tenant]}")
    (route,) = policy_set.routes
    assert route.decision is not None
    assert [rule.id for rule in route.allow] == ["a.decision"]
    assert route.allow[0].conditions == (When(route.decision),)
    assert policy_set.owned_headers == route.decision.headers == ("x-tenant",)


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        ("decision: {rego: data.shop.reports.allow}, allow: [{anyone: true}]", ["EAZ207"]),
        ("decision: {rego: data.shop.reports.nope}", ["EAZ860"]),
        ("decision: {headers: [x-a]}", ["EAZ202"]),
        ("decision: {rego: data.shop.reports.allow, headers: [host]}", ["EAZ701"]),
        ("decision: {rego: data.shop.reports.allow, headers: [x-a, X-A]}", ["EAZ303"]),
        ("decision: {rego: data.shop.reports.allow, headers: [x-a]}, upstream_headers: {set: {x-a: b}}", ["EAZ303"]),
        ("decision: {rego: data.shop.reports.allow}, public: true", ["EAZ507", "EAZ507"]),
        ("decision: data.shop.reports.allow", ["EAZ203"]),
    ],
)
def test_decisions_that_say_too_much_or_nothing(keys, codes):
    """Each at its place."""
    assert found_in(keys) == codes
