import pytest

from extauthz.errors import PolicyError
from extauthz.languages.rego import UNDEFINED, RegoEvaluationError


@pytest.mark.parametrize(
    ("body", "document", "want"),
    [
        ('not startswith(input.x, "a")', {}, UNDEFINED),
        ('not startswith(input.x, "a")', {"x": "b"}, True),
        ('not startswith(input.x, "a")', {"x": "a"}, UNDEFINED),
        ("not input.x == 1", {}, True),
        ("not input.x in [1]", {}, UNDEFINED),
        ("not [input.x] == [1]", {}, UNDEFINED),
        ("not to_number(input.x) > 3", {"x": "text"}, UNDEFINED),
        ("not data.limits[input.x]", {}, UNDEFINED),
        ("not data.limits[input.x]", {"x": "b"}, True),
        ("not f(input.x)", {"x": 0}, True),
        ("not f(input.x) == 1", {"x": 0}, UNDEFINED),
        ("not p", {}, True),
        ("not p == 1", {}, True),
        ("not count([y | some y in input.x]) > 0", {}, True),
        ("y := input.x; not contains(lower(y), upper(y))", {"x": "a"}, True),
    ],
)
def test_operands_of_negations_are_evaluated_before_them(evaluated, body, document, want):
    """As OPA does: what is undefined in them makes the rule undefined."""
    text = f"f(x) := x if x > 0\np if input.p\nresult if {{ {body} }}"
    assert evaluated(text, document, data={"limits": {"a": 1}}) is want


@pytest.mark.parametrize(
    "text",
    [
        'result[k] := v if { k := "a"; v := input.o }\nresult[k].z := 1 if { k := "a" }',
        'result[k].z := 1 if { k := "a" }\nresult[k] := v if { k := "a"; v := input.o }',
        'result[k] := v if { k := "a"; v := input.o }\nresult[k].z contains 1 if { k := "a" }',
    ],
)
def test_rules_do_not_build_on_what_is_not_theirs(compiled, text):
    """Two rules that say different things of one key are in conflict, and the input stays as it is."""
    document = {"o": {"x": 1}}
    with pytest.raises(RegoEvaluationError, match="unique"):
        compiled(text).evaluate("t/result", document, now_ns=0)
    assert document == {"o": {"x": 1}}


@pytest.mark.parametrize(
    "text",
    [
        "result := [x, ys] if { x := 1; ys := [x | some x in input.xs] }",
        'result := [x, ys] if { x := "a"; ys := {x | some x in input.xs} }',
        'result.a := input.o\nresult[k].z := 1 if { k := "a" }',
        "result if { p with input.x as input.xs }\\np if input.x",
    ],
)
def test_what_cannot_be_brought_right_is_refused(evaluated, text):
    """When the policy is loaded, with what to do about it."""
    with pytest.raises(PolicyError, match="EAZ857"):
        evaluated(text, {"xs": [1]})
