import pytest

from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import RegoSet


@pytest.mark.parametrize("value", ["%", "a", "YQ", "YQ==YQ==", "Y\u00e9=="])
def test_what_is_no_base64(call, value):
    """Padding and alphabet are as RFC 4648 has them."""
    assert not call("base64.is_valid", value)
    with pytest.raises(BuiltinError):
        call("base64.decode", value)


def test_base64url_takes_its_own_alphabet_alone(call):
    """A `+` or `/` is of the other alphabet."""
    assert call("base64url.decode", "Pz8-") == call("base64url.decode", "Pz8-".rstrip("=")) == "??>"
    with pytest.raises(BuiltinError):
        call("base64url.decode", "Pz8+")


def test_bytes_that_are_no_text_survive(call):
    """Decoding and encoding again gives the same bytes, and different bytes differ."""
    decoded = call("base64.decode", "gIE=")
    assert call("hex.encode", decoded) == "8081"
    assert decoded != call("base64.decode", "gYA=")


@pytest.mark.parametrize("value", ["a%", "a%2", "%zz"])
def test_malformed_escapes(call, value):
    """An escape that is none is an error, not a literal."""
    with pytest.raises(BuiltinError):
        call("urlquery.decode", value)


def test_queries(call):
    """Keys in order, repeated keys kept, semicolons refused."""
    assert call("urlquery.encode_object", {"b": RegoSet(["2", "1"]), "a": "x"}) == "a=x&b=1&b=2"
    assert call("urlquery.decode_object", "a=1&&b&a=2") == {"a": ["1", "2"], "b": [""]}
    with pytest.raises(BuiltinError):
        call("urlquery.decode_object", "a=1;b=2")
    with pytest.raises(BuiltinError):
        call("urlquery.encode_object", {"a": 1})


def test_json_over_several_lines(call):
    """Indents as Go does; `pretty` has the last word."""
    value = {"a": [1, {}], "b": []}
    assert call("json.marshal_with_options", value, {"indent": " "}) == '{\n "a": [\n  1,\n  {}\n ],\n "b": []\n}'
    assert call("json.marshal_with_options", value, {"indent": " ", "pretty": False}) == '{"a":[1,{}],"b":[]}'
    with pytest.raises(BuiltinError):
        call("json.marshal_with_options", value, {"colour": "red"})


@pytest.mark.parametrize("value", ["", "{", "NaN", "[1,]", "01", "[" * 100_000, '{"a":1e999999999}'])
def test_what_is_no_json(call, value):
    """Not even what Python's own reader would take."""
    with pytest.raises(BuiltinError):
        call("json.unmarshal", value)
