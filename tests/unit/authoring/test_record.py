import json
from dataclasses import replace
from typing import Any

import pytest

from extauthz.authoring.record import (
    REFUSALS,
    KeyHolder,
    RecordRefusedError,
    RefusedCredential,
    UnseenCredential,
    Vouched,
    credential_headers,
    read_record,
    record_line,
)
from extauthz.model.decision import Reason
from tests.policies import HEAD, ROUTE, policy_set
from tests.records import CAROL, record

FULL = record(
    "/orders/7?x=1",
    headers=(("accept", "a"), ("accept", "b"), ("x-bytes", "\udcff")),
    scheme="https",
    protocol="HTTP/2",
    source_address="192.0.2.1",
    source_port=4711,
    destination_address="192.0.2.2",
    destination_port=8443,
    peer_identity="spiffe://cluster.local/ns/a/sa/b",
    context_extensions={"tier": "gold"},
    body=b'{"total": 1, "name": "\xc3\xa9"}',
    received_at=1_800_000_000.25,
    redacted=("header:cookie",),
)


@pytest.mark.parametrize(
    "caller", [None, CAROL, KeyHolder("machines", "m"), RefusedCredential(Reason.TOKEN_EXPIRED), UnseenCredential()]
)
def test_records_are_read_as_they_were_written(caller):
    """Everything of a request, each kind of caller; times to the microsecond."""
    written = replace(FULL, caller=caller, at=1_800_000_000.123456)
    line = record_line(written)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert read_record(line) == written


def test_new_members_are_ignored():
    """A later version may have added them."""
    assert read_record(json.dumps({**json.loads(record_line(FULL)), "new": 1})) == FULL


def changed(path: tuple[str | int, ...], value: object) -> str:
    """A record with another value at a place; without the member, if it is `...`."""
    document = json.loads(record_line(FULL))
    holder: Any = document
    for step in path[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("version",), 2, "records of version 1 are read, no other"),
        (("version",), True, "a whole number is needed here"),
        (("time",), "yesterday", "a time is needed here, as in 2026-03-02T10:00:00.000000Z"),
        (("time",), "2026-03-02T10:00:00", "a time is needed here, as in 2026-03-02T10:00:00.000000Z"),
        (("request",), [], "an object is needed here"),
        (("request", "method"), 1, "text is needed here"),
        (("request", "headers"), {}, "a list is needed here"),
        (("request", "headers", 1), ["accept"], "a name and a value are needed here"),
        (("request", "source", "port"), "80", "a whole number is needed here"),
        (("request", "received_at"), "now", "a number is needed here"),
        (("request", "context_extensions", "tier"), 1, "text is needed here"),
        (("caller",), "carol", "an object is needed here"),
        (("caller", "claims"), [], "an object is needed here"),
        (("caller",), {"refused": "allowed"}, "no credential is refused for this reason"),
        (("decision", "effect"), "permit", "'permit' is not known here: a newer extauthz may have written it"),
        (("decision", "policies", 0), None, "text is needed here"),
    ],
)
def test_what_is_no_record_is_refused_at_its_place(path, value, message):
    """By the member that is wrong."""
    line = changed(path, value)
    with pytest.raises(RecordRefusedError, match=f"^{message}") as caught:
        read_record(line)
    assert caught.value.path in {path, (*path, "refused")}


@pytest.mark.parametrize(
    "path", [("version",), ("request", "target"), ("decision", "reason"), ("redacted",), ("caller",)]
)
def test_members_must_not_be_missing(path):
    """A caller who is left out is not nobody."""
    with pytest.raises(RecordRefusedError, match=f"the member {path[-1]!r} is missing"):
        read_record(changed(path, ...))


@pytest.mark.parametrize(
    ("line", "column"), [("", 1), ("{", 2), ('{"a": 1,}', 9), ("[" * 100_000, None), ("1" * 5000, None), ("[]", None)]
)
def test_other_text_is_refused(line, column):
    """With the column where it stops being JSON."""
    with pytest.raises(RecordRefusedError) as caught:
        read_record(line)
    assert caught.value.column == column


def test_refusals_are_the_failures_of_authentication():
    """Each with the error that it was."""
    assert Reason.TOKEN_EXPIRED in REFUSALS
    assert Reason.CREDENTIALS_AMBIGUOUS in REFUSALS
    assert Reason.KEY_SET_UNAVAILABLE not in REFUSALS
    assert all(error.reason is reason for reason, error in REFUSALS.items())


def test_credential_headers_are_the_providers():
    """Of tokens and of API keys; a cookie stands in its header."""
    text = HEAD.replace("jwks:", "tokens: [{header: X-Token}, {cookie: session}]\n    jwks:") + ROUTE
    assert credential_headers(policy_set(text)) == {"x-token", "cookie"}


def test_claims_may_hold_any_json():
    """As tokens do."""
    caller = Vouched("corp", {"a": [1, 2.5, None, {"b": "é\ud800"}], "c": True})
    assert read_record(record_line(replace(FULL, caller=caller))).caller == caller
