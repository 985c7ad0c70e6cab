"""The engines agree: what the answerer says in process is what comes of the request through a real Envoy.

The decision cases with something about each request changed, so that nobody has written down what to expect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.answer import is_grpc
from tests.harness.case import Case, CaseRequest, CaseSet, read_case_sets
from tests.harness.corpus import DECISIONS
from tests.harness.stand import Stand, envoy_or_skip

SETS = [case_set for path in sorted(DECISIONS.glob("*.yaml")) for case_set in read_case_sets(path)]


def is_asked_about_as_sent(case: Case) -> bool:
    """Whether Envoy asks about just what the client sent; the echo takes gRPC only over HTTP/2."""
    return not case.left_out and case.envoy is None and not is_grpc(case.request)


CASES = [(case_set, case.request) for case_set in SETS for case in case_set.cases if is_asked_about_as_sent(case)]
ENDINGS = [
    "/",
    "/x",
    "?q=1",
    "?q=1&q=2",
    "%41",
    "%zz",
    "%00",
    "%2541",
    ";a",
    "'",
    "*",
    "$(x)",
    ",",
    "=",
    "@",
    "&",
    "|",
    "~",
]
HEADERS = [
    ("cookie", "session=a"),
    ("x-api-key", "machine-key"),
    ("x-user", "eve"),
    ("x-forwarded-for", "1.2.3.4"),
    ("x-forwarded-for", "203.0.113.1"),
    ("origin", "https://app.example"),
    ("access-control-request-method", "GET"),
    ("content-type", "application/json"),
    ("x-team", "blue"),
    ("x-team", "red"),
    ("x-freeze", "1"),
    ("x-pass", " 1 "),
    ("x-a", "1"),
    ("x-b", ""),
    ("x-d", "0"),
    ("x-r", "1"),
    ("x-odd", "\udcff"),
    ("x-envoy-original-path", "/admin"),
    ("forwarded", "for=203.0.113.1"),
    ("via", "a"),
]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PURGE"]
HOSTS = ["SHOP.example:80", "shop.example.", "api.shop.example", "other.example", "[::1]", "a_b.example", "-x.example"]


@st.composite
def requests(draw: st.DrawFn) -> tuple[CaseSet, CaseRequest]:
    """A case's request with up to four things changed."""
    case_set, request = draw(st.sampled_from(CASES))
    return case_set, dataclasses.replace(
        request,
        path=request.path + draw(st.sampled_from(["", "", *ENDINGS])),
        method=draw(st.sampled_from([request.method] * 4 + METHODS)),
        host=draw(st.sampled_from([request.host] * 4 + HOSTS)),
        headers=(*request.headers, *draw(st.lists(st.sampled_from(HEADERS), max_size=3))),
    )


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with Stand(SETS) as stand:
        yield stand


@pytest.mark.envoy
# The same requests in every run: what is found by chance belongs among the cases.
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(asked=requests())
def test_envoy_and_the_answerer_agree(stand, asked):
    """Status, reason, route, rules and owned headers are the same, unless Envoy refuses the request alone."""
    case_set, request = asked
    site = stand.site(case_set)
    through_envoy = envoy_or_skip(stand).ask(site, request)
    if through_envoy.told is None:
        assert through_envoy.upstream is None
        return
    alone = stand.pdp.ask(site, request)
    assert alone.told is not None
    identity = {"decision_id": "", "revision": ""}
    assert dataclasses.replace(through_envoy.told, **identity) == dataclasses.replace(alone.told, **identity)
    assert through_envoy.status == alone.status
    if through_envoy.upstream is None or alone.upstream is None or request.method == "HEAD":
        return  # nothing passed, or the echo had no body to say so in
    for name in site.policy_set.owned_headers:
        assert through_envoy.upstream.headers.get(name) == alone.upstream.headers.get(name)
