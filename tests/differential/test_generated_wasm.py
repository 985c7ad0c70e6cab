"""Generated sets, requests and tokens through two real Envoys: one asks about every request, one runs a module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.differential.comparison import answers, generated_requests, generated_sets, wasm_differs
from tests.harness.case import CaseSet
from tests.harness.stand import Stand, envoy_or_skip, wasm_or_skip

pytestmark = pytest.mark.envoy

SETS = int(os.environ.get("EXTAUTHZ_DIFFERENTIAL_SETS", "60"))
REQUESTS = 40
"""To each set."""
MINIMUM = 2000
"""Triples of a set, a request and a token that are compared."""
MINIMUM_BY_MODULE = 0.6
"""Of all of them, how many the module is to decide by itself: otherwise this would show nothing."""


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
    """Status, challenge, upstream headers, reason where the module decides; most of all, no allow that is not ours."""
    checked, wasm = envoy_or_skip(stand), wasm_or_skip(stand)
    generated = generated_requests(SETS * REQUESTS)
    found: list[str] = []
    decided: list[bool] = []
    for number, case_set in enumerate(sets):
        site, requests = stand.site(case_set), generated[number :: len(sets)]
        pairs = zip(requests, answers(checked, site, requests), answers(wasm, site, requests), strict=True)
        for request, asked, answer in pairs:
            difference = wasm_differs(asked, answer)
            if difference is not None:
                found.append(f"{difference}\n{request}\nasked: {asked.told}\n{case_set.policy}")
            decided.append(answer.wasm is not None)
    assert not found, f"{len(found)} of {len(generated)}\n" + "\n\n".join(found[:8])
    assert len(generated) >= MINIMUM
    assert sum(decided) > len(decided) * MINIMUM_BY_MODULE, f"{sum(decided)} of {len(decided)} by the module"
