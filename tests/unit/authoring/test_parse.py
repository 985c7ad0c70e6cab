import json

import pytest

from extauthz.authoring.parse import parse_suite
from extauthz.authoring.suite import WrittenRequest
from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import SourceText, parse_policy_set
from tests.suites import NOW, SHOP, findings, suite, surroundings

CAPTURE = json.dumps(
    {"attributes": {"request": {"http": {"method": "GET", "path": "/orders", "host": "shop.example"}}}}
)


def request_of(text: str) -> WrittenRequest:
    """The request of the only test of a file."""
    (case,) = suite(f"tests: [{{name: a, request: {text}, expect: deny}}]").cases
    assert isinstance(case.request, WrittenRequest)
    return case.request


def test_request_is_read_as_written():
    """Method, target, host, headers, peer and body arrive as they are; the time is the test's."""
    text = "{method: PUT, path: '/a?b=%20', host: H.example:8080, scheme: https, headers: {X-A: [b, c]}, body: '${x}'"
    request = request_of(text + ", source: 192.0.2.7, workload: 'spiffe://a/b', context_extensions: {k: v}}")
    assert request == WrittenRequest(
        method="PUT",
        target="/a?b=%20",
        host="H.example:8080",
        headers=(("x-a", "b"), ("x-a", "c")),
        scheme="https",
        source_address="192.0.2.7",
        peer_identity="spiffe://a/b",
        context_extensions={"k": "v"},
        body=b"${x}",
        received_at=NOW,
    )


def test_request_has_the_only_host_of_the_set():
    """What is left out is GET, http, and the one host that the set names."""
    assert request_of("{path: /}") == WrittenRequest("GET", "/", "shop.example", received_at=NOW)


def test_set_with_several_hosts_wants_one_named():
    """A guess would test another host than the author means."""
    several = SHOP + '  - {name: other, host: "*.other.example", path: /, public: true}\n'
    parsed = parse_policy_set([SourceText("p.yaml", several.encode())], read_file=lambda _: b"").policy_set
    text = "tests: [{name: a, request: {path: /}, expect: allow}]"
    (found,) = findings(text, parsed)
    assert found.startswith("1:19: EAZ202 which host? The set has '*.other.example' and 'shop.example'")
    assert findings("defaults: {host: shop.example}\n" + text, parsed) == []


def test_json_and_grpc_bring_their_content_type():
    """A body in JSON can be read by conditions, a gRPC call is one to the server."""
    assert request_of("{path: /, json: {total: 1}}").header_values("content-type") == ("application/json",)
    grpc = request_of("{grpc: shop.Orders/Get}")
    assert (grpc.method, grpc.target, grpc.header_values("content-type")) == (
        "POST",
        "/shop.Orders/Get",
        ("application/grpc",),
    )


def test_captured_request_is_read_from_its_file():
    """A capture stands beside the test file, and everything about the request is in it."""
    text = "tests: [{name: a, request: {capture: c.json}, expect: deny}]"
    (case,) = suite(text, files={"c.json": CAPTURE.encode()}).cases
    assert (case.request.target, case.request.host) == ("/orders", "shop.example")
    assert findings(text) == ["1:38: EAZ111 cannot read 'c.json': No such file or directory"]
    (found,) = findings(text, files={"c.json": b"{"})
    assert found.startswith("1:38: EAZ112 not a CheckRequest in JSON")


def test_table_is_a_test_for_every_pair():
    """Each cell is a test, named after table, row and column, that stands where the cell does."""
    text = """\
principals:
  clerk: {roles: clerk}
requests:
  list: {path: /orders}
  own: {path: /orders/1}
tables:
  - name: orders
    now: 2026-03-02T10:00:00+01:00
    expect:
      clerk: {list: allow, own: allow}
      anonymous: {list: 401, own: credential_missing}
"""
    cases = suite(text).cases
    assert [case.name for case in cases] == [
        *("orders: clerk, list", "orders: clerk, own", "orders: anonymous, list", "orders: anonymous, own"),
    ]
    assert {case.now for case in cases} == {1_772_442_000.0}
    assert str(cases[3].span) == "shop_test.yaml:11:30"


def test_row_without_a_column_is_refused():
    """A cell left out would be a pair that nobody tests and everybody thinks tested."""
    text = """\
requests: {list: {path: /orders}, own: {path: /orders/1}}
principals: {clerk: {roles: clerk}}
tables: [{name: t, expect: {clerk: {list: allow}, anonymous: {list: deny, own: deny}}}]
"""
    assert findings(text) == [
        "3:29: EAZ202 the row of 'clerk' says nothing about 'own' (every row has every column)",
    ]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("requests: {a: {path: /}}", "1:1: EAZ202 the file has no tests, so it would always pass"),
        ("tests: []", "1:8: EAZ204 the list is empty"),
        ("tests: [{name: a, request: b, expect: deny}]", "1:28: EAZ308 there is no request 'b'"),
        (
            "tests: [{name: a, principal: b, request: {path: /}, expect: deny}]",
            "1:30: EAZ308 there is no principal 'b'",
        ),
        (
            "now: yesterday\ntests: [{name: a, request: {path: /}, expect: deny}]",
            "1:6: EAZ206 'yesterday' is not a time",
        ),
        ("now: 2026-03-02T10:00:00\ntests: [{name: a, request: {path: /}, expect: deny}]", "1:6: EAZ206 '2026-03-02T"),
        ("tests: [{name: a, request: {method: GET}, expect: deny}]", "1:19: EAZ207 a request has one of"),
        ("tests: [{name: a, request: {path: /, grpc: a.B/C}, expect: deny}]", "1:38: EAZ207 a request has one of"),
        ("tests: [{name: a, request: {path: /, body: a, json: {}}, expect: deny}]", "1:47: EAZ207 'body' and 'json'"),
        ("tests: [{name: a, request: {grpc: a.B/C, method: GET}, expect: deny}]", "1:42: EAZ207 'grpc' and 'method'"),
        (
            "tests: [{name: a, request: {path: /, headers: {Host: b}}, expect: deny}]",
            "1:48: EAZ207 the host is no header",
        ),
        ("tests: [{name: a, request: {capture: c, path: /}, expect: deny}]", "1:41: EAZ207 a request has one of"),
        ("tests: [{name: a, request: {capture: c, host: h}, expect: deny}]", "1:41: EAZ207 a captured request says it"),
        (
            "tests: [{name: a, request: {path: /}, expect: deny}, {name: a, request: {path: /}, expect: deny}]",
            "1:54: EAZ303 the test 'a' stands here twice, first in line 1",
        ),
        ("- a", "1:1: EAZ203 a mapping is needed here, not a list"),
        ("tests: [", "2:1: EAZ102"),
    ],
)
def test_broken_file_is_an_error_at_its_place(text, finding):
    """A test that does not say what it means never passes: the file is refused."""
    found = findings(text)
    assert found
    assert found[0].startswith(finding), found


def test_everything_wrong_is_reported_at_once():
    """An author sees all mistakes of a file, sorted by place."""
    text = "tests:\n- {name: a, request: b, expect: alow}\n- {name: c, principal: d, request: {path: /}, expect: deny}"
    assert [found.split(":", 1)[0] for found in findings(text)] == ["2", "2", "3"]


def test_token_is_not_minted_for_a_capture():
    """A capture has its own credential; a second one would be another request than the captured."""
    text = """\
principals: {clerk: {token: {roles: [clerk]}}}
tests: [{name: a, principal: clerk, request: {capture: c.json}, expect: allow}]
"""
    (found,) = findings(text, files={"c.json": CAPTURE.encode()})
    assert found.startswith("2:9: EAZ207 a captured request has its own credentials")


def test_policy_that_reads_the_time_wants_it_fixed():
    """A test that passes in the morning and fails at night tests nothing."""
    timed = SHOP + "  - {name: t, path: /t, allow: [{when: 'request.time.getHours() < 6'}]}\n"
    parsed = parse_policy_set([SourceText("p.yaml", timed.encode())], read_file=lambda _: b"").policy_set
    text = "tests: [{name: a, request: {path: /t}, expect: deny}]"
    (found,) = findings(text, parsed)
    assert found.startswith("1:1: EAZ202 the key 'now' is missing: the policy reads the time (at p.yaml:36:")
    assert findings("now: 2026-03-02T10:00:00Z\n" + text, parsed) == []


def test_unreadable_bytes_are_an_error_too():
    """Bytes that are no YAML text raise nothing but a policy error."""
    with pytest.raises(PolicyError, match="EAZ101"):
        parse_suite("a_test.yaml", b"\xff", surroundings())
