from typing import Any

import pytest

from extauthz.check.opa_mask import MaskRefusedError, OpaMask
from extauthz.check.opa_policy import DROP, MASK, OpaQuery, entry_points, query_module
from extauthz.languages.rego import Module, RegoLimitError, load_plan
from extauthz.sources.rego_planner import plan_with_regopy

EVENT: dict[str, Any] = {
    "decision_id": "1",
    "input": {
        "attributes": {"request": {"http": {"headers": {"authorization": "Bearer t", "accept": "a"}}}},
        "l": [1, 2],
    },
    "result": {"allowed": False, "body": "secret"},
}


def masked(rules, event=EVENT):
    questions = {MASK: ("system", "log", "mask"), DROP: ("system", "log", "drop")}
    modules = [Module("log.rego", f"package system.log\n\n{rules}\n"), query_module(questions)]
    program = load_plan(plan_with_regopy(modules, entry_points(questions)), {})
    mask, drop = (OpaQuery(program, entry) for entry in entry_points(questions))
    return OpaMask(mask, drop, clock_ns=lambda: 0)(event)


def test_nothing_to_mask():
    """Without rules, and with those that do not apply, an event is as it was."""
    assert masked("other := 1") == EVENT
    assert masked('mask contains "/input/missing/deeper"') == EVENT
    assert masked('mask contains "/result/body" if input.result.allowed') == EVENT
    assert OpaMask(None, None, clock_ns=lambda: 0)(EVENT) is EVENT


def test_removed():
    """What is named goes, and the event says so; the original is not touched."""
    rules = """mask contains "/input/attributes/request/http/headers/authorization"

mask contains {"op": "remove", "path": "/input/l/0"} if input.result.body
"""
    after = masked(rules)
    assert after["input"] == {"attributes": {"request": {"http": {"headers": {"accept": "a"}}}}, "l": [2]}
    assert sorted(after["erased"]) == ["/input/attributes/request/http/headers/authorization", "/input/l/0"]
    assert "authorization" in EVENT["input"]["attributes"]["request"]["http"]["headers"]


def test_replaced():
    """A value in place of another, or where there was none; a whole root as well."""
    after = masked('mask contains {"op": "upsert", "path": "/result/body", "value": "***"}')
    assert (after["result"]["body"], after["masked"]) == ("***", ["/result/body"])
    assert masked('mask contains {"op": "upsert", "path": "/result/new", "value": 1}')["result"]["new"] == 1
    assert "input" not in masked('mask contains "/input"')


def test_dropped():
    """Exactly true leaves the event out."""
    assert masked("drop if not input.result.allowed") is None
    assert masked("drop if input.result.allowed") == EVENT
    assert masked('drop := "true"') == EVENT


@pytest.mark.parametrize(
    "rule",
    [
        "mask := 1",
        "mask contains 1",
        'mask contains "input"',
        'mask contains "/labels/id"',
        'mask contains {"path": "/input"}',
        'mask contains {"op": "keep", "path": "/input"}',
        'mask contains {"op": "remove"}',
    ],
)
def test_masks_that_make_no_sense(rule):
    """The event is not written."""
    with pytest.raises(MaskRefusedError):
        masked(rule)


def test_masks_that_do_not_end():
    """They are stopped: nobody is answered meanwhile."""
    with pytest.raises(RegoLimitError):
        masked("many := numbers.range(1, 4000)\n\ndrop if count([1 | some i in many; some j in many; i < j]) == 0")
