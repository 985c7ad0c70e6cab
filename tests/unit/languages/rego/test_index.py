import pytest

from extauthz.languages.rego import Module, load_modules
from extauthz.languages.rego.index import Guard, find_run
from extauthz.languages.rego.plan import parse_plan
from extauthz.languages.rego.value import UNDEFINED
from extauthz.sources.rego_planner import plan_with_regopy

NOW_NS = 0


def policy(rules):
    return Module("t.rego", "package t\n\n" + "\n\n".join(rules) + "\n")


def run_of(rules):
    plan = parse_plan(plan_with_regopy([policy(rules)], ["t/r"]))
    return find_run(next(f for f in plan.functions if f.path[-1] == "r"))


def test_rules_are_told_apart_by_what_tells_most_of_them_apart():
    """The path, not the method."""
    rules = [f'r if {{ input.method == "{"GET" if i % 2 else "PUT"}"; input.path == "/{i}" }}' for i in range(10)]
    run = run_of(rules)
    assert run is not None
    assert run.slots == (((0, ("path",)), False),)
    assert run.chosen[3] == Guard((0, ("path",)), is_prefix=False, value="/3")


@pytest.mark.parametrize(
    "body",
    [
        'startswith(input.path, "/{i}/")',
        'input.parts[0] == "{i}"',
        'input.parts = ["{i}", _]',
        'some x in input.xs; x == 1; input.path == "/{i}"',
    ],
)
def test_demands_are_found_in_many_forms(body):
    """Prefixes, positions, patterns, and what stands within an iteration."""
    run = run_of([f"r if {{ {body.replace('{i}', str(i))} }}" for i in range(8)])
    assert run is not None
    assert all(guard is not None for guard in run.chosen)


@pytest.mark.parametrize(
    "body", ["input.n == {i}", 'not input.path == "/{i}"', 'p with input.path as "/{i}"', "input.x > {i}"]
)
def test_what_demands_no_text(body):
    """Numbers, negations, replaced documents and comparisons are evaluated."""
    assert run_of(["p if input.path", *(f"r if {{ {body.replace('{i}', str(i))} }}" for i in range(8))]) is None


RULES = [
    *(f'r contains "eq{i}" if input.path == "/{i}"' for i in range(4)),
    *(f'r contains "pre{i}" if {{ startswith(input.path, "/{i}") }}' for i in range(4)),
    'r contains "always" if input.x',
    *(f'r contains sprintf("both%d", [{i}]) if {{ input.path == "/{i}"; input.method == "GET" }}' for i in range(4)),
    'r contains "empty" if { startswith(input.path, "") }',
]


@pytest.mark.parametrize("path", ["/0", "/1", "/12", "", "/", "x", 5, None, True, ["/0"], UNDEFINED])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_indexed_rules_answer_as_all_of_them(path, method):
    """Whatever the input, the index leaves out only what would not hold."""
    indexed = load_modules([policy(RULES)], {}, ["t/r"], plan_with_regopy)
    one_by_one = [load_modules([policy([rule])], {}, ["t/r"], plan_with_regopy) for rule in CHECKED]
    document = {"method": method, "x": 1, **({} if path is UNDEFINED else {"path": path})}
    expected = {m for one in one_by_one for m in one.evaluate("t/r", document, now_ns=NOW_NS)}
    checked = [m for m in indexed.evaluate("t/r", document, now_ns=NOW_NS) if m in ALL]
    assert set(checked) == expected


CHECKED = [RULES[0], RULES[5], RULES[8], RULES[9], RULES[13]]
ALL = {"eq0", "pre1", "always", "both0", "empty"}


def test_errors_are_not_left_out():
    """A test of what is no text is an error for each rule that makes it, where errors are strict."""
    from extauthz.languages.rego import RegoEvaluationError

    program = load_modules([policy(RULES)], {}, ["t/r"], plan_with_regopy)
    with pytest.raises(RegoEvaluationError):
        program.evaluate("t/r", {"path": 5}, now_ns=NOW_NS, strict=True)


def test_conflicts_are_found():
    """Two indexed rules that both hold with different values are an error; else-branches and defaults still work."""
    from extauthz.languages.rego import RegoEvaluationError

    rules = ["default r := 0", *(f'r := {i} if input.path == "/{i % 6}"' for i in range(12))]
    program = load_modules([policy(rules)], {}, ["t/r"], plan_with_regopy)
    assert program.evaluate("t/r", {"path": "/none"}, now_ns=NOW_NS) == 0
    with pytest.raises(RegoEvaluationError, match="multiple outputs"):
        program.evaluate("t/r", {"path": "/3"}, now_ns=NOW_NS)
