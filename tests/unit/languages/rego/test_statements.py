import pytest

from extauthz.languages.rego import RegoEvaluationError


def test_texts_are_never_code(evaluated):
    """Whatever stands in a literal stays a literal."""
    hostile = "'); import os; ('\\n{l0}\\\"\\u2028"
    assert evaluated(f'result := x if {{ x := "{hostile}"; x == input.x }}', {"x": "'); import os; ('\n{l0}\"\u2028"})
    assert evaluated(f'result := {{"{hostile}": 1}}') == {"'); import os; ('\n{l0}\"\u2028": 1}


def test_constants_are_not_shared_between_evaluations(compiled):
    """An answer can be changed by whoever gets it."""
    program = compiled('result := {"a": [1, {"b": 2}]}')
    first = program.evaluate("t/result", now_ns=0)
    first["a"][1]["b"] = 3
    assert program.evaluate("t/result", now_ns=0) == {"a": [1, {"b": 2}]}


def test_the_input_is_not_changed(compiled):
    """Neither by rules that build on it nor by `with`."""
    program = compiled(
        """
        result.a := input.o
        result.b[k] := v if { some k, v in input.o }
        q := o if { o := input.o with input.o.z as 1 }
        """,
        "t/result",
        "t/q",
    )
    document = {"o": {"x": {"y": 1}}}
    assert program.evaluate("t/result", document, now_ns=0) == {"a": {"x": {"y": 1}}, "b": {"x": {"y": 1}}}
    assert program.evaluate("t/q", document, now_ns=0) == {"x": {"y": 1}, "z": 1}
    assert document == {"o": {"x": {"y": 1}}}


def test_errors_say_where(evaluated):
    """The rule's line, and never a value."""
    with pytest.raises(RegoEvaluationError, match=r"t\.rego:3: complete rules") as caught:
        evaluated("result := 1 if input.a\nresult := 2 if input.b", {"a": "secret", "b": "secret"})
    assert "secret" not in str(caught.value)
    with pytest.raises(RegoEvaluationError, match=r"t\.rego:3: to_number: ") as caught:
        evaluated("result := to_number(input.a)", {"a": "secret"}, strict=True)
    assert "secret" not in str(caught.value)


def test_numbers_in_policies(evaluated):
    """Literals of any size."""
    assert (
        evaluated("result := [1.5, 1e2, 12345678901234567890123, 0.33333333333333333334][input.i]", {"i": 3})
        != 0.3333333333333333
    )
