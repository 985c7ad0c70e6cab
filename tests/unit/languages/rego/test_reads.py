"""Nothing that an evaluation depends on may be missing from what it is said to read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.languages.rego import UNDEFINED, Module, RegoEvaluationError, RegoProgram, load_modules, load_plan
from extauthz.languages.rego.reads import InputPath
from extauthz.languages.rego.value import equal
from extauthz.sources.rego_planner import plan_with_regopy
from tests.harness.rego_plans import RETURN, block, function, local, plan, rule_call, statement, string

CASES = Path(__file__).with_name("cases")

POLICY = """package t

tenant if input.claims.tenant == input.path.tenant

through_another_rule if tenant

absent if not input.claims.suspended

presence if input.principal

deeper if { p := input.principal; p.subject == "a" }

variable_key if { some name, _ in input.headers; startswith(name, "x-") }

argument if size(input.claims) == 1

size(claims) := count(claims.roles)

builtin_call if count(input.parsed_path) > 1

element if input.parsed_path[0] == "a"

whole if count(input) > 0

replaced if tenant with input as {"claims": {}}

nothing if 1 == 1
"""

EXPECTED = {
    "tenant": {("claims", "tenant"), ("path", "tenant")},
    "through_another_rule": {("claims", "tenant"), ("path", "tenant")},
    "absent": {("claims", "suspended")},
    "presence": {("principal",)},
    "deeper": {("principal", "subject")},
    "variable_key": {("headers",)},
    "argument": {("claims",)},
    "builtin_call": {("parsed_path",)},
    "element": {("parsed_path",)},
    "whole": {()},
    "replaced": {()},
    "nothing": set(),
}


@pytest.fixture(scope="module")
def program() -> RegoProgram:
    return load_modules([Module("t.rego", POLICY)], {}, ["t"], plan_with_regopy)


@pytest.mark.parametrize("rule", EXPECTED)
def test_what_a_rule_reads(program: RegoProgram, rule):
    """A rule reads what it and the rules that it asks read, and no more than that."""
    assert program.input_reads(f"t/{rule}") == EXPECTED[rule]


def test_an_entry_point_reads_what_its_rules_read(program: RegoProgram):
    """A package as a whole reads what any of its rules reads: here everything."""
    assert program.input_reads("t") == {()}


def test_unknown_documents_are_an_error(program: RegoProgram):
    """There is no answer for what the policy does not define."""
    with pytest.raises(KeyError):
        program.input_reads("t/missing")


def test_a_member_that_others_are_taken_from_and_that_is_asked_for_itself():
    """A local that is not only looked through counts as read, whatever is taken from it elsewhere."""
    asked = function(
        "r",
        block(statement("DotStmt", source=local(0), key=string(0), target=3), statement("IsDefinedStmt", source=3)),
        block(
            statement("DotStmt", source=local(0), key=string(0), target=4),
            statement("DotStmt", source=local(4), key=string(1), target=2),
        ),
        RETURN,
    )
    program = load_plan(plan(asked, strings=("a", "b")), {})
    assert program.input_reads("t/r") == {("a",)}


def test_a_document_that_is_passed_on_in_the_inputs_place_is_read_whole():
    """Only the input itself is followed into a rule."""
    inner = function("inner", block(statement("DotStmt", source=local(0), key=string(1), target=2)), RETURN)
    call = rule_call("inner", 2)
    call["stmt"]["args"][0] = local(3)
    outer = function("r", block(statement("DotStmt", source=local(0), key=string(0), target=3), call), RETURN)
    program = load_plan(plan(inner, outer, strings=("a", "b")), {})
    assert program.input_reads("t/r") == {("a",)}


def read_cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{path.stem}: {case['note']}")
        for path in sorted(CASES.glob("*.yaml"))
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(case.get("input"), dict) and case.get("refused_by") != "regopy"
    ]


def only(document: Any, reads: frozenset[InputPath]) -> Any:
    """The members of a document that are read, in the objects that they stand in."""
    if () in reads or type(document) is not dict:
        return document
    below = {key: frozenset(path[1:] for path in reads if path[0] == key) for key in {path[0] for path in reads}}
    return {key: only(value, below[key]) for key, value in document.items() if key in below}


def answer(program: RegoProgram, document: Any, case: dict[str, Any]) -> Any:
    try:
        return program.evaluate("t/result", document, now_ns=0, strict=bool(case.get("strict")))
    except RegoEvaluationError as error:
        return str(error)


@pytest.mark.parametrize("case", read_cases())
def test_the_rest_of_the_input_does_not_matter(case):
    """Our own corpus has the same answers when the input is cut down to what is read."""
    module = Module("t.rego", f"package t\n\n{case['rego']}")
    program = load_modules([module], case.get("data", {}), ["t/result"], plan_with_regopy)
    cut = only(case["input"], program.input_reads("t/result"))
    assert equal(answer(program, cut, case), answer(program, case["input"], case))


def test_undefined_is_no_answer_of_the_comparison_above():
    """A rule that depends on the input answers otherwise without it."""
    program = load_modules([Module("t.rego", POLICY)], {}, ["t"], plan_with_regopy)
    assert program.evaluate("t/presence", {"principal": {}}, now_ns=0) is True
    assert program.evaluate("t/presence", only({"principal": {}}, frozenset({("claims",)})), now_ns=0) is UNDEFINED
