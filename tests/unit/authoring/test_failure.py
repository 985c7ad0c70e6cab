from extauthz.authoring.failure import FailureWriter, rule_places
from tests.suites import STATUSES, results, runner, shop


def told(text: str) -> dict[str, str]:
    """What is said of the only, failing test of a file."""
    (result,) = results(text)
    lines = FailureWriter(runner().snapshot, STATUSES).lines(result)
    return {line.label: line.text for line in lines}


def test_failure_says_what_was_decided_and_by_which_rule():
    """Expected and decided side by side, then the decision with its rules at their places."""
    lines = told("tests: [{name: a, principal: {subject: a, roles: clerk}, request: {path: /orders}, expect: deny}]")
    assert lines == {
        "effect": "expected deny, decided allow",
        "decision": "allow 200 allowed",
        "route": "list  policy.yaml:22:5",
        "decided by": "list.allow.staff  policy.yaml:22:57",
    }


def test_rules_that_could_not_be_evaluated_are_named():
    """An error in a condition is what an author looks for first."""
    lines = told("tests: [{name: a, principal: {subject: a}, request: {path: /body, method: POST}, expect: allow}]")
    assert lines["decision"] == "deny 403 evaluation_error"
    assert lines["not evaluated"].startswith("body.allow.small  policy.yaml:")


def test_every_rule_has_a_place():
    """Preflights are passed by the route's own entry."""
    places = rule_places(shop())
    assert str(places["list.cors"]) == "policy.yaml:22:5"  # type: ignore[index]
    assert {rule.id for route in shop().routes for rule in route.allow} <= places.keys()
