"""Generated sets, requests and tokens through two real Envoys: one asks about every request, one only where it must."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.differential.comparison import answers, differs, generated_requests, generated_sets
from tests.harness.case import CaseSet
from tests.harness.stand import Stand, envoy_or_skip, native_or_skip

pytestmark = pytest.mark.envoy

SETS = int(os.environ.get("EXTAUTHZ_DIFFERENTIAL_SETS", "60"))
REQUESTS = 40
"""To each set."""
MINIMUM = 2000
"""Triples of a set, a request and a token that are compared."""


@pytest.fixture(scope="module")
def sets() -> list[CaseSet]:
    """Generated sets that load."""
    return generated_sets(SETS)


@pytest.fixture(scope="module")
def stand(sets: list[CaseSet]) -> Iterator[Stand]:
    """Both Envoys for all of them."""
    with Stand(sets) as built:
        yield built


def test_generated_requests_get_the_same_answer(sets: list[CaseSet], stand: Stand) -> None:
    """Status, challenge, upstream headers; and a native allow is the authorizer's allow."""
    checked, native = envoy_or_skip(stand), native_or_skip(stand)
    generated = generated_requests(SETS * REQUESTS)
    found: list[str] = []
    passed: list[bool] = []
    for number, case_set in enumerate(sets):
        site, requests = stand.site(case_set), generated[number :: len(sets)]
        pairs = zip(requests, answers(checked, site, requests), answers(native, site, requests), strict=True)
        for request, asked, answer in pairs:
            difference = differs(asked, answer)
            if difference is not None:
                found.append(f"{difference}\n{request}\nasked: {asked.told}\n{case_set.policy}")
            if answer.upstream is not None:
                passed.append(answer.native is not None)
    assert not found, f"{len(found)} of {len(generated)}\n" + "\n\n".join(found[:8])
    assert len(generated) >= MINIMUM
    assert sum(passed) > len(passed) / 2, f"{sum(passed)} of {len(passed)} natively: too few to show anything"
