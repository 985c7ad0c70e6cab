import threading
import time
import timeit
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.errors import PolicyError
from extauthz.languages.rego import (
    UNDEFINED,
    Limits,
    Module,
    RegoEvaluationError,
    RegoLimitError,
    RegoProgram,
    load_modules,
)
from extauthz.languages.rego.value import equal
from extauthz.sources.rego_planner import opa_planner, plan_with_regopy
from tests.harness.required import needs_opa

CASES = Path(__file__).with_name("cases")
NOW_NS = 1_700_000_000_000_000_000


def read_cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{path.stem}: {case['note']}")
        for path in sorted(CASES.glob("*.yaml"))
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]


def check(program: RegoProgram, path: str, case: dict[str, Any]) -> None:
    document = case.get("input", UNDEFINED)
    options: dict[str, Any] = {"now_ns": NOW_NS, "strict": bool(case.get("strict"))}
    if case.get("error"):
        with pytest.raises(RegoEvaluationError):
            program.evaluate(path, document, **options)
        return
    got = program.evaluate(path, document, **options)
    if case.get("undefined"):
        assert got is UNDEFINED
    else:
        assert equal(got, case["want"]), got


@pytest.mark.parametrize("case", read_cases())
def test_case(case):
    """Each case of our own corpus, whose answers are OPA's."""
    module = Module("t.rego", f"package t\n\n{case['rego']}")
    if case.get("refused_by") == "regopy":
        with pytest.raises(PolicyError):
            load_modules([module], case.get("data", {}), ["t/result"], plan_with_regopy)
        return
    program = load_modules([module], case.get("data", {}), ["t/result"], plan_with_regopy)
    check(program, "t/result", case)


@pytest.mark.opa
@needs_opa
@pytest.mark.parametrize("case", read_cases())
def test_case_by_opa(case):
    """The same cases from OPA's own plans."""
    module = Module("t.rego", f"package t\n\n{case['rego']}")
    program = load_modules([module], case.get("data", {}), ["t/result"], opa_planner())
    check(program, "t/result", case)


RUNAWAYS = {
    "loops": "result if { " + "; ".join(f"some {v} in input.xs" for v in "abcd") + "; a + b + c == d }",
    "calls": "f0(x) := x + 1\n"
    + "\n".join(f"f{i}(x) := f{i - 1}(x) + f{i - 1}(x)" for i in range(1, 40))
    + "\nresult := f39(1)",
    "ranges": "result := [x | some x in numbers.range(1, 900000); some y in numbers.range(1, 900000); x == -y]",
    "texts": 'result := concat(",", [s | some i in input.xs; s := sprintf("%1000000d", [i])])',
}


@pytest.mark.parametrize("kind", sorted(RUNAWAYS))
def test_a_runaway_is_stopped(compiled, kind):
    """By the deadline, soon after it; and by the budget when there is no deadline."""
    program = compiled(RUNAWAYS[kind])
    document = {"xs": list(range(1_000))}
    clock = time.thread_time  # what others make the machine do does not count
    started = clock()
    with pytest.raises(RegoLimitError, match="longer than its deadline"):
        program.evaluate("t/result", document, now_ns=NOW_NS, limits=Limits(deadline=started + 0.05), clock=clock)
    assert clock() - started < 1
    with pytest.raises(RegoLimitError, match="more steps than its budget"):
        program.evaluate("t/result", document, now_ns=NOW_NS, limits=Limits(budget=200_000))


def test_deep_values_are_an_error_of_their_own(compiled):
    """A document nested beyond Python's recursion."""
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    program = compiled("result if input.a == input.b")
    with pytest.raises(RegoLimitError):
        program.evaluate("t/result", {"a": deep, "b": [deep[0]]}, now_ns=NOW_NS)


def test_what_can_be_evaluated(compiled):
    """Entry points and rules by their path; nothing else."""
    program = compiled("a.b := 1\nresult if data.t.a.b == 1", "t/result", "t")
    assert program.entry_points == ("t", "t/result")
    assert set(program.rules) == {"t/a/b", "t/result"}
    assert program.evaluate("t/a/b", now_ns=NOW_NS) == 1
    assert program.evaluate("t", now_ns=NOW_NS) == {"a": {"b": 1}, "result": True}
    assert not program.defines("t/none")
    with pytest.raises(RegoEvaluationError, match="no document"):
        program.evaluate("t/none", now_ns=NOW_NS)


def test_threads_do_not_meet(compiled):
    """Evaluations of one program at once have each their own memo."""
    program = compiled("p := input.x\nq := p\nresult := [p, q, r] if { r := q with input.x as -1 }")
    found: list[Any] = []

    def evaluate(number: int) -> None:
        document = {"x": number}
        found.extend((number, program.evaluate("t/result", document, now_ns=NOW_NS)) for _ in range(300))

    threads = [threading.Thread(target=evaluate, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1_200
    assert all(value == [number, number, -1] for number, value in found)


RBAC = """
default result := false
result if {
    some role in input.claims.roles
    some grant in data.grants[role]
    grant.method == input.request.method
    grant.resource == input.request.path[0]
}
"""


def test_rules_on_distinct_paths_cost_as_few(compiled):
    """A thousand rules are told apart by an index: hundreds of times ten rules would take, were each evaluated."""

    def seconds(count: int) -> float:
        body = 'input.method == "GET"; input.path == "/svc{}"; "r" in input.roles'
        rules = [f"result if {{ {body.format(i)} }}" for i in range(count)]
        program = compiled("default result := false\n" + "\n".join(rules))
        document = {"method": "GET", "path": f"/svc{count - 1}", "roles": ["r"]}
        assert program.evaluate("t/result", document, now_ns=NOW_NS) is True
        assert program.evaluate("t/result", {**document, "path": "/none"}, now_ns=NOW_NS) is False
        return min(timeit.repeat(lambda: program.evaluate("t/result", document, now_ns=NOW_NS), number=200, repeat=5))

    assert seconds(1_000) < 3 * seconds(10)


def test_data_is_looked_up_not_searched(compiled):
    """Roles with their grants: the size of the data does not matter."""
    grants = {f"r{i}": [{"method": "GET", "resource": f"s{i}"}] for i in range(10_000)}
    program = compiled(RBAC, data={"grants": grants})
    document = {"claims": {"roles": ["r1", "r9999"]}, "request": {"method": "GET", "path": ["s9999"]}}
    assert program.evaluate("t/result", document, now_ns=NOW_NS) is True
    taken = min(timeit.repeat(lambda: program.evaluate("t/result", document, now_ns=NOW_NS), number=100, repeat=5))
    assert taken / 100 < 200e-6  # a tenth of this on an idle machine
