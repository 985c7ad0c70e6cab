from extauthz.authoring.coverage import Coverage, share_of
from extauthz.authoring.first_set import Issuer, first_set
from tests.policies import parse
from tests.suites import runner, suite

FILES = first_set("documents", Issuer("https://issuer.example", "documents", "https://issuer.example/jwks.json"))


def test_set_is_whole():
    """It validates without a warning, passes its tests, and they exercise all of it."""
    parsed = parse(FILES["policy.yaml"])
    assert parsed.warnings == ()
    run = runner(parsed.policy_set)
    coverage = Coverage(run.snapshot)
    for case in suite(FILES["policy_test.yaml"], parsed.policy_set).cases:
        result = run.run(case)
        assert result.passed, (case.name, result.differences)
        assert result.decision is not None
        coverage.add(result.question, result.decision)
    assert share_of(coverage.items).percent == 100.0


def test_what_is_inserted_stays_what_it_is():
    """A name with quotes, or one that looks like YAML, is a text."""
    odd = 'a: "b" #\\ [c]'
    text = first_set(odd, Issuer("https://issuer.example", odd, "https://issuer.example/k"))["policy.yaml"]
    policy_set = parse(text).policy_set
    assert policy_set.name == odd
    assert policy_set.providers[0].audiences == (odd,)
