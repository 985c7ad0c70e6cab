import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.authn.strict_json import MAX_DEPTH, JsonRefusedError, parse_object

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_objects_are_read_as_they_were_written(value):
    """What the standard library writes is read back equal."""
    assert parse_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(data):
    """No input raises anything but our own error."""
    with contextlib.suppress(JsonRefusedError):
        assert isinstance(parse_object(data), dict)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"o": {"a": 1, "\\u0061": 2}}',
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        '{"a": 1e400}',
        '{"a": 1' + "0" * 400 + "}",
        '{"a": 1' + "0" * 5000 + "}",
        "[]",
        '"text"',
        "null",
        "",
        "{",
        '{"a": 1} {}',
        "{'a': 1}",
        '{"a": 1,}',
        "\ufeff{}",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(text):
    """Equal names, numbers out of range and everything that is no JSON object."""
    with pytest.raises(JsonRefusedError):
        parse_object(text.encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_other_encodings_are_refused(encoding):
    """RFC 8259 section 8.1: UTF-8, where Python's reader would guess."""
    with pytest.raises(JsonRefusedError):
        parse_object('{"a": "é"}'.encode(encoding))


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_nesting_is_bounded(opening, closing):
    """The limit itself passes; one more, and very many more, do not."""

    def nested(depth):
        return ('{"a":' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}").encode()

    assert parse_object(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 5_000, 200_000):
        with pytest.raises(JsonRefusedError):
            parse_object(nested(depth))
