import json

from extauthz.lowering.document import render


def test_the_same_value_gives_the_same_bytes():
    """Generated files are committed and compared: the order of making does not show."""
    assert render({"b": [1, 2], "a": {"d": 1, "c": "ü"}}) == render({"a": {"c": "ü", "d": 1}, "b": [1, 2]})


def test_strings_that_yaml_reads_as_booleans_stay_strings():
    """Envoy reads JSON files as what they say."""
    text = render({"n": "y", "on": "no"})
    assert json.loads(text) == {"n": "y", "on": "no"}
    assert text.endswith("}\n")


def test_what_is_too_long_to_be_read_is_not_indented():
    """A set of ten thousand routes is tens of megabytes as it is; up to some size there is a line for each value."""
    short, long = [{"a": {"b": "x"}}] * 1_000, [{"a": {"b": "x"}}] * 300_000
    assert render(short).count("\n") == 5_002
    assert render(long).count("\n") == 1
    assert json.loads(render(long)) == long
