from extauthz.languages.rego import Module, load_plan
from extauthz.languages.rego.ir import Place
from extauthz.languages.rego.marks import LineMarks
from extauthz.sources.rego_planner import plan_with_regopy

POLICY = """package t

default allow := false

allow if {
	input.x == 1
	startswith(input.y, "b")
}

size(x) := "large" if x > 2
else := "small"

other := size(input.x)

names contains n if { some n in input.names }
"""


def counted(document, *rules: str) -> set[int]:
    marks = LineMarks()
    program = load_plan(plan_with_regopy([Module("t.rego", POLICY)], ["t"]), {}, marks)
    for rule in rules:
        program.evaluate(f"t/{rule}", document, now_ns=0)
    assert {line for _, line in marks.by_line} == {3, 6, 7, 10, 13, 15}
    assert {file for file, _ in marks.by_line} == {"t.rego"}
    return {line for (_, line), count in marks.by_line.items() if count}


def test_lines_that_are_evaluated():
    """Up to the expression that fails, and no further; a function's branches where they are tried."""
    assert counted({"x": 1, "y": "a"}, "allow") == {3, 6, 7}
    assert counted({"x": 2}, "allow") == {3, 6}
    assert counted({"x": 3}, "other") == {10, 13}
    assert counted({}) == set()


def test_programs_are_the_same_with_marks():
    """Counting changes no answer."""
    plan = plan_with_regopy([Module("t.rego", POLICY)], ["t"])
    for document in ({"x": 1, "y": "b", "names": ["n"]}, {"x": 3}, {}):
        plain, marked = (load_plan(plan, {}, marks).evaluate("t", document, now_ns=0) for marks in (None, LineMarks()))
        assert plain == marked


def test_a_line_has_one_number():
    """Whatever the column."""
    marks = LineMarks()
    assert [marks.number(Place("a", line, column)) for line, column in ((1, 1), (2, 1), (1, 9))] == [0, 1, 0]
    assert marks.counts == [0, 0]
