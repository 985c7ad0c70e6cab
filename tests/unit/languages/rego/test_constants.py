import pytest

from extauthz.languages.rego.constants import known_values, read_number
from extauthz.languages.rego.ir import PlanError
from extauthz.languages.rego.plan import parse_plan
from tests.harness.rego_plans import block, function, local, plan, statement, string


def known(*blocks):
    [one] = parse_plan(plan(function("r", *blocks), strings=("a", "b", "1.5"))).functions
    return known_values(one.blocks, one.parameters)


def number(target):
    return statement("MakeNumberRefStmt", Index=2, target=target)


def array(target):
    return statement("MakeArrayStmt", capacity=1, target=target)


def append(value, target):
    return statement("ArrayAppendStmt", value=value, array=target)


def use(source):
    return statement("ResultSetAddStmt", value=source)


def test_literals_and_what_is_built_of_them():
    """An object with an array with a number is one value."""
    insert = statement("ObjectInsertStmt", key=string(0), value=local(5), object=4)
    found = known(
        block(statement("MakeObjectStmt", target=4), array(5), number(6), append(local(6), 5), insert, use(4))
    )
    assert found.values[4] == {"a": [1.5]}
    assert len(found.needless) == 5


@pytest.mark.parametrize(
    "blocks",
    [
        [block(array(4), append(local(0), 4), use(4))],
        [block(array(4), use(4), append(string(0), 4))],
        [block(array(4)), block(append(string(0), 4), use(4))],
        [block(array(4), use(4)), block(array(4), append(string(0), 4))],
        [block(array(4), statement("ScanStmt", source=1, key=6, value=7, block=block(append(string(0), 4))), use(4))],
        [block(array(4), statement("IsDefinedStmt", source=4))],
    ],
)
def test_what_is_not_constant(blocks):
    """Members of the input, additions elsewhere, in loops, or after it was read."""
    assert 4 not in known(*blocks).values


def test_two_values_are_no_constant():
    """A local that rules share is what each of them makes it."""
    one = statement("AssignVarStmt", source=string(0), target=4)
    other = statement("AssignVarStmt", source=string(1), target=4)
    assert known(block(one, use(4)), block(one)).values == {4: "a"}
    assert 4 not in known(block(one, use(4)), block(other)).values


def test_conflicts_stay_errors():
    """An object that gets two values for a key is not made in advance."""
    insert = [statement("ObjectInsertOnceStmt", key=string(0), value=string(i), object=4) for i in (0, 1)]
    assert 4 not in known(block(statement("MakeObjectStmt", target=4), *insert, use(4))).values


def test_numbers():
    """A number beyond our limits is refused with the plan."""
    with pytest.raises(PlanError):
        read_number("1e999999")
