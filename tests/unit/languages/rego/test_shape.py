from extauthz.languages.rego import ir
from extauthz.languages.rego.plan import parse_plan
from extauthz.languages.rego.shape import (
    all_blocks,
    all_statements,
    changed_local,
    depends_on_order,
    inner_blocks,
    levels_left,
    may_fail,
    parts_of_data,
    reads,
    uses_of,
    written_locals,
)
from tests.harness.rego_plans import block, function, local, plan, statement, string


def blocks_of(*blocks):
    return parse_plan(plan(function("r", *blocks), strings=("a",))).functions[0].blocks


def scan(*statements):
    return statement("ScanStmt", source=1, key=4, value=5, block=block(*statements))


APPEND = statement("ArrayAppendStmt", value=local(5), array=6)
ADD = statement("SetAddStmt", value=local(5), set=6)


def test_who_reads_and_writes():
    """Of each statement by itself."""
    [[one, two]] = blocks_of(block(statement("DotStmt", source=local(0), key=local(3), target=4), scan(APPEND)))
    assert sorted(reads(one)) == [0, 3]
    assert written_locals(one) == (4,)
    assert sorted(reads(two)) == [1]
    assert written_locals(two) == (4, 5)
    [append] = inner_blocks(two)[0]
    assert sorted(reads(append)) == [5, 6]
    assert changed_local(append) == 6
    assert may_fail(one)
    assert not may_fail(append)


def test_walks_go_into_blocks():
    """In the order of the plan."""
    blocks = blocks_of(block(scan(scan(APPEND)), statement("NopStmt")))
    assert [type(s) for s in all_statements(blocks)] == [ir.Scan, ir.Scan, ir.ArrayAppend, ir.Nothing]
    assert len(list(all_blocks(blocks))) == 3


def test_only_arrays_and_results_know_an_order():
    """An array that is made in each round does not; one from outside does."""
    assert depends_on_order(blocks_of(block(APPEND))[0])
    assert not depends_on_order(blocks_of(block(ADD))[0])
    assert not depends_on_order(blocks_of(block(statement("MakeArrayStmt", target=6, capacity=0), APPEND))[0])
    assert depends_on_order(blocks_of(block(statement("ResultSetAddStmt", value=5)))[0])
    assert depends_on_order(blocks_of(block(scan(APPEND)))[0])


def test_parts_of_the_data_document():
    """What was reached from it key by key, but not what an assignment took from a part of it."""
    blocks = blocks_of(
        block(
            statement("DotStmt", source=local(1), key=string(0), target=3),
            statement("DotStmt", source=local(3), key=string(0), target=4),
            statement("AssignVarStmt", source=local(4), target=5),
            statement("DotStmt", source=local(0), key=string(0), target=6),
        )
    )
    assert parts_of_data(blocks) == {1, 3, 4}


def test_levels():
    """Breaks, and dynamic calls, leave blocks around their own."""
    [[one]] = blocks_of(block(statement("BreakStmt", index=2)))
    assert levels_left(one) == 2


def test_uses():
    """Locals whose definedness matters are told apart."""
    uses = uses_of(
        blocks_of(block(statement("ResetLocalStmt", target=3), statement("IsDefinedStmt", source=4), APPEND))
    )
    assert uses.asked == {3, 4}
    assert list(uses.changers) == [6]
