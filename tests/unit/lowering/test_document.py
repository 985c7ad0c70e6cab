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
