import pytest

from extauthz.languages.rego.failure import BuiltinError


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("a: yes\nb: NO\nc: on", {"a": "yes", "b": "NO", "c": "on"}),
        ("- 0x1F\n- 0o17\n- 017\n- 1_000\n- .5\n- -3\n- 1e3", [31, 15, 15, 1000, 0.5, -3, 1000]),
        ("1: a\ntrue: b", {"1": "a", "true": "b"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("1.2.3", "1.2.3"),
    ],
)
def test_reading(call, source, want):
    """Scalars are what Go takes them for."""
    assert call("yaml.unmarshal", source) == want


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    "source", ["a: [", "!!python/object/apply:os.system [true]", "a: *x", BOMB, "[" * 5_000, ".inf"]
)
def test_refused(call, source):
    """Broken, tagged, endless and bottomless texts are no YAML here."""
    assert not call("yaml.is_valid", source)
    with pytest.raises(BuiltinError):
        call("yaml.unmarshal", source)
