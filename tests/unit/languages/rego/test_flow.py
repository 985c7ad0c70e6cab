import pytest

from extauthz.languages.rego.flow import analyse
from extauthz.languages.rego.ir import PlanError
from extauthz.languages.rego.plan import parse_plan
from tests.harness.rego_plans import block, flag, function, local, plan, statement, string


def flow_of(*blocks):
    [one] = parse_plan(plan(function("r", *blocks), strings=("a", "b"))).functions
    return analyse(one.blocks, one.parameters)


def dot(source, target):
    return statement("DotStmt", source=local(source), key=string(0), target=target)


def assign(source, target):
    return statement("AssignVarStmt", source=source, target=target)


def test_reads_after_writes_are_safe():
    """A look-up gives its target a value, or the block is left."""
    assert not flow_of(block(dot(0, 3), dot(3, 4))).unsafe


@pytest.mark.parametrize(
    "blocks",
    [
        [block(dot(9, 3))],
        [block(statement("BlockStmt", blocks=[block(dot(0, 3), statement("MakeNullStmt", target=5))]), dot(5, 4))],
        [block(statement("ScanStmt", source=1, key=3, value=4, block=block(assign(local(4), 5)))), block(dot(5, 6))],
        [block(statement("NotStmt", block=block(dot(0, 3), statement("MakeNullStmt", target=5))), dot(5, 4))],
        [block(statement("ObjectInsertStmt", key=string(0), value=local(1), object=9))],
        [block(assign(local(9), 3))],
    ],
)
def test_a_read_that_a_path_leads_to_without_a_write(blocks):
    """Because the block that writes may be left before it does, or the loop may have no rounds."""
    assert flow_of(*blocks).unsafe


def test_both_ways_write():
    """Looked up, or made where there is nothing: either way there is a value after it."""
    inner = block(dot(2, 5), statement("BreakStmt", index=1))
    outer = block(statement("BlockStmt", blocks=[inner]), statement("MakeObjectStmt", target=5))
    blocks = block(statement("MakeObjectStmt", target=2), statement("BlockStmt", blocks=[outer]), dot(5, 6))
    assert not flow_of(blocks).unsafe


def test_the_input_may_be_undefined():
    """It, and what was assigned from it; not what was found in it."""
    blocks = block(assign(local(0), 3), statement("EqualStmt", a=local(3), b=flag(value=True)), dot(0, 4), dot(4, 5))
    [one] = parse_plan(plan(function("r", blocks), strings=("a",))).functions
    flow = analyse(one.blocks, one.parameters)
    doubtful = [sorted(flow.may_be_undefined.get(id(s), ())) for s in one.blocks[0]]
    assert doubtful == [[], [3], [0], []]


def test_locals_that_are_asked_before_they_are_written():
    """They begin undefined."""
    assert flow_of(block(statement("IsUndefinedStmt", source=7))).uninitialised == {7}
    assert (
        flow_of(block(statement("ResetLocalStmt", target=7), statement("IsDefinedStmt", source=7))).uninitialised
        == set()
    )


def test_variables_that_are_declared_again():
    """Found within the block of the first one, not in the next rule."""
    scan = statement("ScanStmt", source=1, key=4, value=5, block=block(assign(local(5), 3)))
    first = [dot(0, 6), assign(local(6), 3)]
    assert flow_of(block(*first, scan)).redefined
    assert not flow_of(block(*first), block(scan)).redefined


@pytest.mark.parametrize(
    "bad",
    [
        statement("BreakStmt", index=5),
        statement("ScanStmt", source=1, key=4, value=5, block=block(statement("BreakStmt", index=1))),
        statement("NotStmt", block=block(statement("BreakStmt", index=1))),
        statement("WithStmt", local=0, path=[], value=flag(value=True), block=block(statement("BreakStmt", index=1))),
        statement("NotStmt", block=block(statement("ReturnLocalStmt", source=2))),
        statement("CallDynamicStmt", args=[0, 1], result=3, path=[string(0)]),
    ],
)
def test_breaks_that_lead_nowhere(bad):
    """Out of the function, or out of what must be tidied up."""
    with pytest.raises(PlanError):
        flow_of(block(bad))
