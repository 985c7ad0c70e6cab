"""Every decision case through native enforcement on a real Envoy: no answer differs from the authorizer's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.case import Case, CaseSet, read_case_sets
from tests.harness.native import native_differences
from tests.harness.stand import Stand, native_or_skip

pytestmark = pytest.mark.envoy

SETS = [s for path in sorted((Path(__file__).parent.parent / "decisions").glob("*.yaml")) for s in read_case_sets(path)]
CASES = [(s, case) for s in SETS for case in s.cases if "envoy" not in case.left_out]
MINIMUM_NATIVE = 0.5
"""Of the allowed requests, how many Envoy is to allow by itself: otherwise these tests would show nothing."""


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """Sites for all sets, an Envoy that enforces them natively."""
    with Stand(SETS) as built:
        yield built


@pytest.fixture(scope="module")
def natively_allowed() -> list[bool]:
    """Whether each allowed request so far was allowed by Envoy itself."""
    return []


@pytest.mark.parametrize(("case_set", "case"), CASES, ids=[f"{s.name}: {case.it}" for s, case in CASES])
def test_the_answer_is_the_authorizers(
    case_set: CaseSet, case: Case, stand: Stand, natively_allowed: list[bool]
) -> None:
    """Status, upstream headers, challenge, and the rule that allows."""
    expected = case.expected_of("envoy")
    answer = native_or_skip(stand).ask(stand.site(case_set), case.request)
    if answer.upstream is not None:
        natively_allowed.append(answer.native is not None)
    assert native_differences(expected, answer) == [], answer


def test_envoy_decides_by_itself_where_it_can(natively_allowed: list[bool]) -> None:
    """Most allowed requests never reach the authorizer."""
    assert sum(natively_allowed) >= MINIMUM_NATIVE * len(natively_allowed), natively_allowed
