import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.errors import PolicyError
from extauthz.languages.rego import (
    UNDEFINED,
    Module,
    RegoEvaluationError,
    RegoProgram,
    load_modules,
)
from extauthz.languages.rego.value import equal
from extauthz.sources.rego_planner import opa_planner, plan_with_regopy

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
@pytest.mark.skipif(shutil.which("opa") is None and os.environ.get("EXTAUTHZ_REQUIRE") != "opa", reason="no opa")
@pytest.mark.parametrize("case", read_cases())
def test_case_by_opa(case):
    """The same cases from OPA's own plans."""
    module = Module("t.rego", f"package t\n\n{case['rego']}")
    program = load_modules([module], case.get("data", {}), ["t/result"], opa_planner())
    check(program, "t/result", case)
