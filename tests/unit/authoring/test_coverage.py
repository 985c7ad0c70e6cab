from extauthz.authoring.coverage import Coverage, Item, Share, share_of
from extauthz.authoring.covered import Kind
from extauthz.model.decision import Outcome
from tests.policies import policy_set
from tests.suites import SHOP, runner, suite


def covered(tests: str, text: str = SHOP) -> dict[tuple[str, str], Item]:
    """Every item by kind and name, after the tests have run."""
    tested = policy_set(text)
    run = runner(tested)
    coverage = Coverage(run.snapshot)
    for case in suite(tests, tested).cases:
        result = run.run(case)
        assert result.decision is not None
        coverage.add(result.question, result.decision)
    return {(str(item.kind), item.name): item for item in coverage.items}


HEAD = """\
principals:
  clerk: {token: {roles: [clerk]}}
  carol: {token: {orders: ["7"], store: berlin}}
tests:
"""


def test_nothing_is_covered_without_tests():
    """Each thing that a test could exercise is there, with the outcomes that it can have."""
    items = covered("tests: [{name: a, request: {path: /nowhere}, expect: deny}]")
    assert not any(item.seen for item in items.values())
    assert items["route", "health"].wanted == ("reached",)
    assert items["rule", "health.public"].wanted == ("satisfied",)
    assert items["rule", "list.allow.staff"].wanted == ("satisfied", "unsatisfied")
    assert items["role", "clerk"].wanted == ("held",)
    assert items["binding", "clerk"].wanted == ("given", "withheld")
    assert items["condition", "path.id in claims.orders"].wanted == ("true", "false")
    assert items["condition", "body.total <= 500.0"].missing == ("true", "false")


def test_outcomes_are_counted_where_rules_are_reached():
    """Rules, roles, bindings and atoms, whatever the decision; a refused request exercises nothing."""
    items = covered(
        HEAD
        + """\
  - {name: a, principal: clerk, request: {path: /orders}, expect: allow}
  - {name: b, principal: carol, request: {path: /orders/7}, expect: allow}
  - {name: c, principal: carol, request: {path: /stores/berlin/stock}, expect: allow}
  - {name: d, request: {path: /orders}, expect: 401}
"""
    )
    assert dict(items["route", "list"].seen) == {"reached": 1}
    assert dict(items["rule", "list.allow.staff"].seen) == {"satisfied": 1}
    assert dict(items["rule", "order.allow.staff"].seen) == {"errored": 1}
    assert items["rule", "order.allow.owner"].missing == ("unsatisfied",)
    assert dict(items["role", "reader"].seen) == {"held": 2}
    assert dict(items["binding", "clerk"].seen) == {"withheld": 1, "errored": 1, "given": 1}
    assert dict(items["rule", "set.deny.suspended"].seen) == {"unsatisfied": 3}
    assert dict(items["condition", "has(claims.orders)"].seen) == {"true": 1}


def test_preflight_reaches_its_route():
    """It is decided there, before any rule."""
    request = (
        "{method: OPTIONS, path: /orders, headers: {origin: 'https://app.example', access-control-request-method: GET}}"
    )
    items = covered(f"tests: [{{name: a, request: {request}, expect: preflight}}]")
    assert dict(items["route", "list"].seen) == {"reached": 1}
    assert not items["rule", "list.allow.staff"].seen


def test_requirement_is_counted_as_it_is_written():
    """One that is met is satisfied."""
    items = covered(
        HEAD
        + """\
  - {name: a, principal: clerk, request: {path: /office, source: 192.0.2.7}, expect: deny}
  - {name: b, principal: clerk, request: {path: /office, source: 203.0.113.7}, expect: deny}
  - {name: c, principal: clerk, request: {path: /office, source: 203.0.113.8}, expect: deny}
"""
    )
    assert dict(items["rule", "office.require.network"].seen) == {"satisfied": 1, "unsatisfied": 2}


def test_rule_that_cannot_fail_has_one_outcome():
    """On a route that requires a credential of the only provider, `authenticated` and `provider` always hold."""
    text = (
        SHOP
        + """\
  - {name: any, path: /any, allow: [{name: known, authenticated: true, provider: corp}]}
  - {name: maybe, path: /maybe, authentication: optional, allow: [{name: known, authenticated: true}, {anyone: true}]}
"""
    )
    items = covered("tests: [{name: a, request: {path: /}, expect: deny}]", text)
    assert items["rule", "any.allow.known"].wanted == ("satisfied",)
    assert items["rule", "maybe.allow.known"].wanted == ("satisfied", "unsatisfied")
    assert items["rule", "maybe.allow.1"].wanted == ("satisfied",)


def test_share_is_of_outcomes():
    """Half of a rule is half of it, an error is no outcome to see, and all of nothing is all."""
    half, error = (Item(Kind.RULE, name, None, ("satisfied", "unsatisfied")) for name in "ab")
    half.count(Outcome.SATISFIED)
    error.count(Outcome.ERRORED)
    assert share_of([half, error]) == Share(1, 4)
    assert share_of([half]).percent == 50.0
    assert share_of([]).percent == 100.0
