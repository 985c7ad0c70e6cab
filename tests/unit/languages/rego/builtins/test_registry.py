import pytest

from extauthz.languages.rego.builtins.registry import (
    Registry,
    array,
    boolean,
    integer,
    members,
    number,
    object_,
    set_,
    text,
    texts,
)
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import RegoSet


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (text, "a", 1),
        (number, 1.5, True),
        (integer, 2.0, 2.5),
        (boolean, False, 0),
        (array, [], RegoSet()),
        (object_, {}, []),
        (set_, RegoSet(), []),
        (members, RegoSet([1]), {}),
        (texts, ["a"], ["a", 1]),
    ],
)
def test_operands(check, good, bad):
    """An operand of the wrong type is an error that names its position and never its value."""
    check(good, 1)
    with pytest.raises(BuiltinError, match="operand 3 must be"):
        check(bad, 3)


def test_declaration():
    """A built-in keeps its function; its name in code is an identifier."""
    registry = Registry()
    function = registry.add("a.b_c", 1)(abs)
    builtin = registry.builtins["a.b_c"]
    assert builtin.function is function is abs
    assert builtin.identifier == "b_a_b_c"
