import dataclasses
from collections import Counter
from typing import Any

from extauthz.demo.table import REQUESTS, Expected, Outcome, examples, requests_of
from extauthz.model.decision import Reason


def test_every_request_is_told_apart():
    """Two equal rows would prove one thing twice."""
    rows = Counter((r.method, r.path, r.caller and (r.caller.label or r.caller.name), r.note) for r in REQUESTS)
    assert max(rows.values()) == 1
    assert len(REQUESTS) >= 20


def test_expectations_are_possible():
    """Reasons exist, allowed requests name a rule, and only they reach the upstream."""
    for request in REQUESTS:
        expected = request.expected
        assert expected.reason is None or expected.reason in set(Reason)
        allowed = expected.reason in {"allowed", "preflight"}
        assert allowed == (expected.status in {"200", "grpc 0"})
        assert bool(expected.policies) or not allowed
        assert expected.user is None or allowed


def test_the_table_shows_every_kind_of_answer():
    """Allowed, unauthenticated, forbidden, malformed; HTTP and gRPC."""
    assert {r.expected.status for r in REQUESTS} == {"200", "308", "400", "401", "403", "grpc 0", "grpc 7"}


def test_a_difference_is_named_by_its_field():
    """The table marks what is not as expected."""
    request = REQUESTS[0]
    assert Outcome(request, request.expected).differences == ()
    for name in ("status", "reason", "policies", "user"):
        other: dict[str, Any] = {name: "other"}
        changed = dataclasses.replace(request.expected, **other)
        assert Outcome(request, changed).differences == (name,)
    assert Outcome(request, Expected("500", None)).differences == ("status", "reason", "policies")


def test_every_row_is_about_one_example():
    """The shop first, which other stacks serve, too."""
    assert examples() == ("shop", "rego", "mixed")
    assert [row for example in examples() for row in requests_of(example)] == list(REQUESTS)
