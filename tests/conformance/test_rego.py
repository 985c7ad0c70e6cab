"""OPA's own conformance cases where they are at hand, and generated policies where OPA is."""

import os
from pathlib import Path

import pytest

from tests.conformance.rego_cases import Result, parse_term, run, run_case
from tests.conformance.rego_differential import run as run_differential
from tests.harness.required import needs_opa

CASES = os.environ.get("EXTAUTHZ_REGO_CASES")
MAX_SEED = 12
"""Some 2,000 answers to compare."""


def outcomes(results: list[Result]) -> dict[str, int]:
    return {kind: sum(result.outcome == kind for result in results) for kind in ("passed", "failed", "skipped")}


@pytest.mark.skipif(CASES is None, reason="EXTAUTHZ_REGO_CASES names no archive of cases")
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize(("planner", "share"), [("official", 1.0), ("regopy", 0.95)])
def test_cases(planner, share):
    """OPA's plans answer as OPA; those of the embedded compiler in at least 95 of 100 cases."""
    counts = outcomes(run(Path(str(CASES)), planner))
    assert counts["passed"] >= share * (counts["passed"] + counts["failed"])


@pytest.mark.opa
@needs_opa
@pytest.mark.parametrize("planner", ["opa", "regopy"])
def test_generated_policies(planner):
    """Whatever the policy and the input, we answer as a real OPA does."""
    results = run_differential(range(MAX_SEED), planner, "opa")
    assert [detail for outcome, detail in results if outcome == "failed"] == []
    assert sum(outcome == "passed" for outcome, _ in results) > 1_000


def test_terms_of_cases():
    """Inputs of cases are Rego terms: sets, trailing commas."""
    term = parse_term('{"a": {1, {"x": 2}}, "b": [set(), {},], }')
    assert list(term["a"]) == [1, {"x": 2}]
    assert len(term["b"][0]) == 0


def test_the_runner_tells_a_failure():
    """A case whose expectation is not met is not passed over."""
    plan = {
        "static": {"strings": [{"value": "x"}]},
        "funcs": {},
        "plans": {
            "plans": [
                {
                    "name": "eval",
                    "blocks": [
                        {
                            "stmts": [
                                {"type": "MakeObjectStmt", "stmt": {"target": 2}},
                                {
                                    "type": "ObjectInsertStmt",
                                    "stmt": {
                                        "key": {"type": "string_index", "value": 0},
                                        "value": {"type": "bool", "value": True},
                                        "object": 2,
                                    },
                                },
                                {"type": "ResultSetAddStmt", "stmt": {"value": 2}},
                            ]
                        }
                    ],
                }
            ]
        },
    }
    case = {"note": "n", "plan": plan, "want_plan_result": [{"x": True}]}
    assert run_case(case, "official").outcome == "passed"
    assert run_case({**case, "want_plan_result": [{"x": False}]}, "official").outcome == "failed"
    assert run_case({**case, "want_error": "e"}, "official").outcome == "failed"
