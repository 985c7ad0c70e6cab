from extauthz.authoring.covered import Kind
from extauthz.authoring.rego_coverage import RegoCoverage
from extauthz.authoring.rego_tests import RegoSuite
from extauthz.languages.policy_yaml.rego import RegoSources
from extauthz.languages.rego import Module
from extauthz.model.policy import When
from extauthz.sources.rego_planner import plan_with_regopy
from tests.policies import policy_set
from tests.strategies import make_facts

MODULE = Module("t.rego", 'package t\n\nallow if {\n\tinput.path.x == "1"\n\tother\n}\n\nother := true\n\nlast := 1\n')
TESTS = Module("t_test.rego", "package t_test\n\ntest_other if data.t.other\n")
POLICY = """\
version: 1
routes:
  - {name: a, path: "/{x}", authentication: none, allow: [{rego: data.t.allow}]}
  - {name: b, path: "/b/{x}", authentication: none, decision: {rego: data.t.allow}}
"""


def test_conditions_and_tests_count_together():
    """Lines of the modules alone, by what evaluates them first or last."""
    tested = policy_set(POLICY, {"t.rego": MODULE.text})
    suite = RegoSuite(RegoSources([MODULE], (), plan_with_regopy), [TESTS])
    coverage = RegoCoverage([MODULE], tested, suite)
    assert [item.missing for item in coverage.items] == [("evaluated",)] * 5
    suite.run(suite.tests[0], 0.0)
    assert seen(coverage) == {8}
    for route in tested.routes:
        (key,) = route.allow[0].conditions
        assert isinstance(key, When)
        key.condition.evaluate(make_facts(x="2"))
    assert seen(coverage) == {3, 4, 8}
    item = coverage.items[1]
    assert (item.kind, item.name, str(item.span)) == (Kind.REGO, 'input.path.x == "1"', "t.rego:4:1")
    assert item.seen["evaluated"] >= 2


def seen(coverage: RegoCoverage) -> set[int]:
    return {item.span.line for item in coverage.items if item.span is not None and not item.missing}


def test_a_set_without_rego():
    """There is nothing to see."""
    assert RegoCoverage([], policy_set("version: 1\nroutes: [{path: /a, public: true}]\n"), None).items == ()
