from decimal import Decimal

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from google.protobuf import json_format

from extauthz.check.opa_decision import STATUSES, DecisionRefusedError, is_allowed, write_reply

ID = "0f0e0d0c-0b0a-4908-8706-050403020100"


def reply(decision, *, dry_run=False, is_explicit=False):
    written = write_reply(decision, is_allowed(decision), ID, dry_run=dry_run, is_explicit=is_explicit)
    response = CheckResponse.FromString(written)
    assert response.dynamic_metadata["decision_id"] == ID
    return response


def pairs(options):
    assert all(option.append_action == 0 and not option.HasField("append") for option in options)
    return [(option.header.key, option.header.value) for option in options]


@pytest.mark.parametrize(("decision", "code"), [(True, 0), (False, 7)])
def test_booleans(decision, code):
    """A status and the decision's id, and nothing else."""
    response = reply(decision)
    assert (response.status.code, response.WhichOneof("http_response")) == (code, None)
    assert list(response.dynamic_metadata.fields) == ["decision_id"]


def test_explicit_booleans():
    """Our own law says everything twice."""
    assert reply(True, is_explicit=True).WhichOneof("http_response") == "ok_response"
    assert reply(False, is_explicit=True).denied_response.status.code == 403


def test_an_allowing_object():
    """Every key that counts for an allow, repeated names in order; those for a denial are not looked at."""
    response = reply(
        {
            "allowed": True,
            "headers": [{"x-a": "1"}, {"x-a": ["2", "3"], "x-none": []}],
            "request_headers_to_remove": ["cookie"],
            "response_headers_to_add": {"vary": ["origin", "accept"]},
            "query_parameters_to_remove": ["debug"],
            "query_parameters_to_set": {"role": "ops", "tag": ["t1", "t2"]},
            "body": 7,
            "http_status": "none",
            "reason": "unknown keys are nothing",
        }
    )
    ok = response.ok_response
    assert response.status.code == 0
    assert pairs(ok.headers) == [("x-a", "1"), ("x-a", "2"), ("x-a", "3")]
    assert list(ok.headers_to_remove) == ["cookie"]
    assert pairs(ok.response_headers_to_add) == [("vary", "origin"), ("vary", "accept")]
    assert list(ok.query_parameters_to_remove) == ["debug"]
    assert [(p.key, p.value) for p in ok.query_parameters_to_set] == [("role", "ops"), ("tag", "t1"), ("tag", "t2")]


def test_a_denying_object():
    """Status, body and headers; those of an allow are not looked at."""
    response = reply(
        {"allowed": False, "headers": {"x-a": "1"}, "body": "no", "http_status": 401, "query_parameters_to_set": 7}
    )
    denied = response.denied_response
    assert (response.status.code, denied.status.code, denied.body) == (7, 401, "no")
    assert pairs(denied.headers) == [("x-a", "1")]
    assert reply({"allowed": False}).denied_response.status.code == 403


def test_dry_run():
    """A denial becomes an allow without changes, and keeps its metadata; an allow stays as it is."""
    response = reply({"allowed": False, "headers": {"x-a": "1"}, "dynamic_metadata": {"why": "no"}}, dry_run=True)
    assert response.status.code == 0
    assert response.ok_response.ByteSize() == 0
    assert response.WhichOneof("http_response") == "ok_response"
    assert response.dynamic_metadata["why"] == "no"
    assert reply(False, dry_run=True).WhichOneof("http_response") == "ok_response"
    assert reply(True, dry_run=True).WhichOneof("http_response") is None
    assert pairs(reply({"allowed": True, "headers": {"x-a": "1"}}, dry_run=True).ok_response.headers)


def test_metadata():
    """Any JSON, and our id in the place of the policy's own."""
    given = {"s": "v", "n": 1.5, "big": 1 << 70, "d": Decimal("0.1"), "b": False, "z": None, "l": [1, [], {}], "o": {}}
    response = reply({"allowed": True, "dynamic_metadata": {**given, "decision_id": "mine"}})
    expected = {**given, "big": float(1 << 70), "d": 0.1, "l": [1.0, [], {}], "decision_id": ID}
    assert json_format.MessageToDict(response.dynamic_metadata) == expected


def mistyped(key, expected, got):
    return f"type assertion error, expected {key} to be of type '{expected}' but got '{got}'"


def not_an_integer(text, problem="invalid syntax"):
    return f'error converting JSON number to int: strconv.ParseInt: parsing "{text}": {problem}'


OBJECT = "map[string]interface {}"
LIST = "[]interface {}"
TO_SET = "query_parameters_to_set"
TO_REMOVE = "query_parameters_to_remove"


@pytest.mark.parametrize(
    ("decision", "what", "message"),
    [
        (1, "response status", "illegal value for policy evaluation result: json.Number"),
        (0.5, "response status", "illegal value for policy evaluation result: json.Number"),
        ("true", "response status", "illegal value for policy evaluation result: string"),
        (None, "response status", "illegal value for policy evaluation result: <nil>"),
        ([], "response status", f"illegal value for policy evaluation result: {LIST}"),
        ({}, "response status", 'unable to determine evaluation result due to missing "allowed" key'),
        ({"allowed": 1}, "response status", mistyped("allowed", "boolean", "json.Number")),
        ({"allowed": None}, "response status", mistyped("allowed", "boolean", "<nil>")),
        ({"allowed": True, "headers": "x"}, "response headers", mistyped("headers", "object", "string")),
        ({"allowed": True, "headers": None}, "response headers", mistyped("headers", "object", "<nil>")),
        ({"allowed": True, "headers": [[]]}, "response headers", mistyped("headers", "object", LIST)),
        ({"allowed": False, "headers": {"a": 1}}, "response headers", "type assertion error for header 'a'"),
        (
            {"allowed": False, "headers": {"a": ["1", True]}},
            "response headers",
            "invalid value type bool for header 'a'",
        ),
        ({"allowed": False, "headers": {"a": "\udcff"}}, "response headers", "invalid UTF-8"),
        ({"allowed": True, "headers": 1, "dynamic_metadata": 1}, "response headers", ""),
        ({"allowed": True, "dynamic_metadata": []}, "dynamic metadata", mistyped("dynamic_metadata", "object", LIST)),
        ({"allowed": False, "dynamic_metadata": {"a": [10**400]}, "body": 1}, "dynamic metadata", ""),
        ({"allowed": False, "dynamic_metadata": {"a": Decimal("1e400")}}, "dynamic metadata", ""),
        ({"allowed": False, "dynamic_metadata": {"\udcff": 1}}, "dynamic metadata", "invalid UTF-8"),
        (
            {"allowed": True, "request_headers_to_remove": "a"},
            "request headers to remove",
            mistyped("request_headers_to_remove", "[]string", "string"),
        ),
        (
            {"allowed": True, "request_headers_to_remove": [1]},
            "request headers to remove",
            mistyped("request_headers_to_remove value", "string", "json.Number"),
        ),
        (
            {"allowed": True, "response_headers_to_add": 1},
            "response headers to send to client",
            mistyped("headers", "object", "json.Number"),
        ),
        (
            {"allowed": True, TO_REMOVE: {}},
            "request query parameters to remove",
            mistyped(TO_REMOVE, "[]string", OBJECT),
        ),
        (
            {"allowed": True, TO_SET: []},
            "request query parameters to set",
            f"type assertion error, expected {TO_SET} to be a map but got '{LIST}'",
        ),
        (
            {"allowed": True, TO_SET: {"a": 1}},
            "request query parameters to set",
            "type assertion error, expected value to be string or array but got 'json.Number'",
        ),
        (
            {"allowed": True, TO_SET: {"a": [1]}},
            "request query parameters to set",
            "type assertion error: expected array element to be string but got 'json.Number'",
        ),
        ({"allowed": False, "body": None, "http_status": 1}, "response body", mistyped("body", "string", "<nil>")),
        ({"allowed": False, "http_status": "403"}, "response http status", mistyped("http_status", "number", "string")),
        ({"allowed": False, "http_status": True}, "response http status", mistyped("http_status", "number", "bool")),
        ({"allowed": False, "http_status": 403.5}, "response http status", not_an_integer("403.5")),
        ({"allowed": False, "http_status": 403.0}, "response http status", not_an_integer("403.0")),
        (
            {"allowed": False, "http_status": 1 << 63},
            "response http status",
            not_an_integer("9223372036854775808", "value out of range"),
        ),
        ({"allowed": False, "http_status": 9999}, "response http status", "invalid HTTP status code 9999"),
    ],
)
def test_misshapen_decisions(decision, what, message):
    """The first key that is wrong, in the incumbent's order and words."""
    with pytest.raises(DecisionRefusedError) as refused:
        reply(decision)
    told = str(refused.value)
    assert told == f"failed to get {what}: {message}" or (not message and told.startswith(f"failed to get {what}: "))


def test_statuses():
    """Exactly those that both Envoy and Go know."""
    wanted = {100, *range(200, 209), 226, *range(300, 306), 307, 308, *range(400, 418), *range(421, 425), 426, 428}
    assert wanted | {429, 431, *range(500, 509), 510, 511} == STATUSES
    for status in range(600):
        if status in STATUSES:
            assert reply({"allowed": False, "http_status": status}).denied_response.status.code == status
        else:
            with pytest.raises(DecisionRefusedError, match="invalid HTTP status code"):
                reply({"allowed": False, "http_status": status})
