"""Every decision case through an Envoy that runs the set as a module, with the authorizer behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.case import Case, CaseSet, read_case_sets
from tests.harness.stand import Stand, wasm_or_skip
from tests.harness.wasm import wasm_differences

pytestmark = pytest.mark.envoy

SETS = [s for path in sorted((Path(__file__).parent.parent / "decisions").glob("*.yaml")) for s in read_case_sets(path)]
CASES = [(s, case) for s in SETS for case in s.cases if "envoy" not in case.left_out]
MINIMUM_BY_MODULE = 0.5
"""Of all requests, how many the module is to decide by itself: otherwise these tests would show nothing."""


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """Sites for all sets, an Envoy that runs them as modules."""
    with Stand(SETS) as built:
        yield built


@pytest.fixture(scope="module")
def decided() -> list[bool]:
    """Whether each request so far was decided by the module."""
    return []


@pytest.mark.parametrize(("case_set", "case"), CASES, ids=[f"{s.name}: {case.it}" for s, case in CASES])
def test_the_answer_is_the_authorizers(case_set: CaseSet, case: Case, stand: Stand, decided: list[bool]) -> None:
    """Status, upstream headers, challenge, body's type; and where the module decides, reason, route and rule."""
    expected = case.expected_of("envoy")
    answer = wasm_or_skip(stand).ask(stand.site(case_set), case.request)
    decided.append(answer.wasm is not None)
    assert wasm_differences(expected, answer) == [], answer


def test_the_module_decides_where_it_can(decided: list[bool]) -> None:
    """Most requests never reach the authorizer."""
    assert sum(decided) >= MINIMUM_BY_MODULE * len(decided), f"{sum(decided)} of {len(decided)}"
