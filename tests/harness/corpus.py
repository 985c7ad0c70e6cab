"""Every decision case as a message to an answerer: real policy sets and real requests, for tests to twist."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest

from extauthz.model.policy import PolicySet
from tests.harness.case import read_case_sets
from tests.harness.check_call import check_request
from tests.harness.site import Site

DECISIONS = Path(__file__).parents[1] / "decisions"


@dataclass(frozen=True, slots=True)
class AskedSet:
    """A policy set with the requests of its cases."""

    name: str
    policy_set: PolicySet
    messages: tuple[CheckRequest, ...]


def read_corpus(directory: Path) -> Iterator[AskedSet]:
    """The sets of all case files; their files go into `directory`, their tokens are minted now."""
    now = time.time()  # noqa: TID251 - tests have no app.py
    for path in sorted(DECISIONS.glob("*.yaml")):
        for case_set in read_case_sets(path):
            name = f"{path.stem}-{case_set.name}"
            site = Site(name, case_set, directory / name)
            messages = (
                check_request(case.request, case_set.proxy, now, with_body=site.with_body) for case in case_set.cases
            )
            yield AskedSet(name, site.policy_set, tuple(messages))
