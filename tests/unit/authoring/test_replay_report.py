import json

import pytest

from extauthz.authoring.accepted import read_accepted
from extauthz.authoring.record import KeyHolder, RefusedCredential, UnseenCredential
from extauthz.authoring.replay_report import Outcome, as_json, caller_of, lines, summary
from extauthz.model.decision import Reason
from tests.policies import policy_set
from tests.records import CAROL, record, replay
from tests.suites import SHOP

WIDER = SHOP.replace("{name: staff, role: clerk}", "{name: staff, role: reader}")
ACCEPTED = read_accepted("accept.yaml", b"- {route: order, was: no_matching_allow}\n")


def outcome(candidate: str, *records, accepted=()) -> Outcome:
    again = replay(policy_set(candidate))
    for number, each in enumerate(records, start=1):
        again.add(number, each)
    return Outcome(again.records, again.groups, accepted)


def test_lines_say_who_asked_for_what_and_both_answers():
    """Of the first request of each kind, with its place."""
    found = outcome(WIDER, record("/orders/8", redacted=("query",)), record("/orders/9"))
    assert [line for _, line in lines(found, "log.jsonl")] == [
        "DENY -> ALLOW",
        "  2 requests, first at log.jsonl:1",
        "      request: GET http://shop.example/orders/8",
        "      who:     carol (provider corp)",
        "      was:     deny no_matching_allow on route order",
        "      now:     allow allowed on route order by order.allow.staff",
        "      replaced in the records: query",
    ]
    assert summary(found) == "2 records: 2 DENY -> ALLOW"


def test_no_change_is_one_line():
    """Nothing else is to be said."""
    found = outcome(SHOP, record())
    assert list(lines(found, "log.jsonl")) == []
    assert summary(found) == "1 record: every one is decided as it was"
    assert not found.may_widen


def test_accepted_changes_do_not_count():
    """They are marked; an entry that nothing fits is told."""
    found = outcome(WIDER, record("/orders/8"), accepted=ACCEPTED)
    assert not found.may_widen
    assert "  1 request (accepted), first at log.jsonl:1" in [line for _, line in lines(found, "log.jsonl")]
    assert found.unused == []
    assert outcome(SHOP, record("/orders/8"), accepted=ACCEPTED).unused == list(ACCEPTED)


def test_what_may_have_been_widened_counts():
    """A denial of which cannot be told what it would be now; an allow can only become narrower."""
    private = SHOP.replace("public: true", "allow: [{role: reader}]")
    allowed = record("/healthz", UnseenCredential())
    denied = record("/healthz", UnseenCredential(), decision=record("/orders/8").decision)
    assert not outcome(private, allowed).may_widen
    assert outcome(private, denied).may_widen
    assert outcome(private, denied, accepted=ACCEPTED).may_widen


@pytest.mark.parametrize(
    ("caller", "text"),
    [
        (None, "nobody authenticated"),
        (CAROL, "carol (provider corp)"),
        (KeyHolder("machines", "robot"), "robot (provider machines)"),
        (RefusedCredential(Reason.TOKEN_EXPIRED), "a credential that was refused: token_expired"),
        (UnseenCredential(), "a credential that nobody looked at"),
    ],
)
def test_callers_are_named_as_far_as_they_are_known(caller, text):
    """Every kind."""
    assert caller_of(record(decision=record().decision, caller=caller)) == text


def test_json_for_programs():
    """All of it, and whether it is a negative answer."""
    document = json.loads(json.dumps(as_json(outcome(WIDER, record("/orders/8"), record("/orders")), "log.jsonl")))
    assert (document["ok"], document["records"]) == (False, 2)
    (change,) = document["changes"]
    assert (change["change"], change["count"], change["line"], change["accepted"]) == ("widened", 1, 1, False)
    assert change["was"]["reason"] == "no_matching_allow"
    assert change["now"]["policies"] == ["order.allow.staff"]
