import time

import pytest

from extauthz.languages.rego.failure import BuiltinError


def test_nothing_is_fetched(call):
    """A reference to another document is an error, whatever the network has there."""
    for reference in ("http://127.0.0.1:1/schema.json", "file:///etc/passwd"):
        with pytest.raises(BuiltinError):
            call("json.match_schema", {"a": 1}, {"properties": {"a": {"$ref": reference}}})


def test_patterns_are_linear(call):
    """A pattern that makes backtracking matchers take ages."""
    started = time.perf_counter()
    text = "a" * 20_000 + "!"
    assert call("json.match_schema", {"a": text}, {"properties": {"a": {"pattern": "^(a+)+$"}}})[0] is False
    assert call("json.match_schema", {text: 1}, {"patternProperties": {"^(a+)+$": False}})[0] is True
    assert (
        call("json.match_schema", {text: 1}, {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False})[0]
        is False
    )
    assert time.perf_counter() - started < 2


def test_errors_say_where(call):
    """Each with the field and the rule that it breaks."""
    valid, [error] = call(
        "json.match_schema", '{"a": {"b": "x"}}', {"properties": {"a": {"properties": {"b": {"type": "integer"}}}}}
    )
    assert valid is False
    assert error["field"] == "a.b"
    assert error["type"] == "type"


def test_what_is_no_schema(call):
    """An error to match with, an answer to ask about."""
    assert call("json.verify_schema", {"type": 1})[0] is False
    assert call("json.verify_schema", "{")[0] is False
    assert call("json.verify_schema", {"type": "object"}) == [True, None]
    with pytest.raises(BuiltinError):
        call("json.match_schema", {}, {"type": 1})


def test_numbers_of_any_writing(call):
    """1.0 is an integer, true is no number."""
    schema = {"properties": {"a": {"type": "integer"}}}
    assert call("json.match_schema", {"a": 1.0}, schema)[0] is True
    assert call("json.match_schema", {"a": True}, schema)[0] is False
