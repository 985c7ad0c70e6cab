from dataclasses import replace

from extauthz.authoring.record import KeyHolder, RefusedCredential, UnseenCredential
from extauthz.authoring.recorded_test import RecordedTests
from extauthz.model.decision import Reason
from tests.policies import HEAD, policy_set
from tests.records import CAROL, record
from tests.suites import results, shop

MACHINES = HEAD.replace(
    "providers:\n", "providers:\n  machines: {api_keys: {file: keys.yaml}, may_assert: all}\n"
).replace("    issuer:", "    may_assert: all\n    issuer:")
MACHINES += (
    "roles: {clerk: {permissions: [p]}}\nroutes:\n  - {name: order, path: '/orders/{id}', allow: [{role: clerk}]}\n"
)
KEYS = "- {sha256: " + "a" * 64 + ", subject: robot, roles: [clerk]}\n"


def written(*records, tested=None):
    tests = RecordedTests(tested or shop())
    for each in records:
        tests.add(each)
    return tests, tests.text("x_test.yaml")


def test_recorded_requests_are_tests_that_pass():
    """One for each kind of decision, by its first request, whatever it holds."""
    odd = (("x-a", "yes"), ("x-b", "0o17"), ("x-b", "1e3"), ("x-c", 'a: "b" # c'), ("content-type", "a/b"))
    records = [
        record(),
        record("/orders/7", decision_id="f" * 20),
        record("/orders/8", headers=odd, source_address="192.0.2.1", context_extensions={"no": "null"}),
        record("/orders/9?x=%20&y", None, scheme="https"),
        record("/healthz", None),
        record("/batch", None, peer_identity="spiffe://cluster.local/ns/batch/sa/x"),
        record("/body", method="POST", headers=(("content-type", "application/json"),), body=b'{"total": 7}'),
        record("/nowhere"),
    ]
    tests, text = written(*records)
    assert text is not None
    found = results(text.decode())
    assert [result.differences for result in found] == [()] * 7
    assert all(result.passed for result in found)
    assert tests.left_out == 0
    assert found[0].case.name == "GET /orders/7: allowed (0123456789abcdef0123)"
    assert [*(found[0].case.expect.rules or ())] == ["order.allow.owner"]


def test_holders_of_api_keys_have_what_their_key_asserts():
    """A test does not hold the key."""
    tested = policy_set(MACHINES, {"keys.yaml": KEYS})
    robot = record("/orders/7", KeyHolder("machines", "robot"), decision=record().decision)
    _, text = written(robot, tested=tested)
    assert text is not None
    assert b"{provider: machines, subject: robot, roles: [clerk]}" in text
    assert written(replace(robot, caller=KeyHolder("machines", "gone")), tested=tested)[1] is None


def test_what_a_test_cannot_say_is_left_out_and_counted():
    """A credential that proved nothing or was not looked at, bytes that are no text, a header without a value."""
    tests, text = written(
        record(),
        record(caller=RefusedCredential(Reason.TOKEN_EXPIRED)),
        record("/healthz", UnseenCredential()),
        record("/orders", headers=(("x-a", "\udcff"),)),
        record("/stores/a/stock", headers=(("x-a", ""),)),
    )
    assert text is not None
    assert len(results(text.decode())) == 1
    assert tests.left_out == 4
    assert written(record(caller=RefusedCredential(Reason.TOKEN_EXPIRED)))[1] is None


def test_credentials_and_unknown_names_are_not_written():
    """Who it is, is said; a route or rule that the set does not have would be an error of the file."""
    _, text = written(record(headers=(("authorization", "-redacted-"), ("accept", "x"))))
    assert text is not None
    assert b"redacted" not in text
    gone = record(decision=replace(record().decision, route="gone", policies=("gone.allow.x",)))
    _, text = written(gone)
    assert text is not None
    assert b"gone" not in text


def test_other_providers_are_left_out():
    """Nobody vouches for their callers in this set."""
    assert written(record(decision=record().decision, caller=replace(CAROL, provider="other")))[1] is None
