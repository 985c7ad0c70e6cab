import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.languages.rego import ir
from extauthz.languages.rego.ir import PlanError
from extauthz.languages.rego.plan import MAX_DEPTH, parse_plan
from tests.harness.rego_plans import RETURN, block, call, flag, function, local, plan, statement, string


def test_a_plan_is_read():
    """Functions with typed statements, their strings and places."""
    document = plan(
        function("r", block(call("count", string(0), result=3), statement("NopStmt")), RETURN), strings=("abc",)
    )
    read = parse_plan(document)
    [one] = read.functions
    assert one.path == ("g0", "t", "r")
    assert one.blocks[0][0] == ir.Call(ir.Place("p.rego", 7, 2), "count", (ir.Constant("abc"),), 3)
    assert str(one.place) == "p.rego:7"
    assert read.compiler == "opa"


def test_dynamic_calls_of_both_compilers():
    """OPA's begin with a generation and leave blocks; regopy's begin with `data` and do not."""
    opa = statement("CallDynamicStmt", args=[0, 1], result=3, path=[string(0), local(4)])
    other = statement("CallDynamicStmt", args=[local(0), local(1)], result=3, path=[string(1), local(4)])
    read = parse_plan(plan(function("r", block(opa, other)), strings=("g0", "data")))
    one, two = read.functions[0].blocks[0]
    assert isinstance(one, ir.CallDynamic)
    assert isinstance(two, ir.CallDynamic)
    assert (one.levels, one.stored, one.path[0]) == (3, False, ir.Constant("g0"))
    assert (two.levels, two.stored, two.path[0]) == (0, True, ir.Constant("g0"))


def nested(depth):
    inner = block()
    for _ in range(depth):
        inner = block(statement("BlockStmt", blocks=[inner]))
    return inner


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"static": {}, "funcs": {}, "plans": 1},
        plan({"name": 1}),
        plan(function("r", block(statement("Mystery")))),
        plan(function("r", block(statement("DotStmt", source=local(-1), key=local(0), target=1)))),
        plan(function("r", block(statement("DotStmt", source=string(5), key=local(0), target=1)))),
        plan(function("r", block(statement("DotStmt", source={"type": "x"}, key=local(0), target=1)))),
        plan(function("r", block(statement("EqualStmt", a=local(0))))),
        plan(function("r", block(statement("MakeNumberIntStmt", value=True, target=1)))),
        plan(function("r", block(statement("ResetLocalStmt", target=10**9)))),
        plan(function("r", block(statement("CallStmt", func="f", args="x", result=1)))),
        plan(function("r", nested(MAX_DEPTH + 1))),
        plan(function("r", parameters=("a", "b"))),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_plan(document):
    """Refused, never read as something else."""
    with pytest.raises(PlanError):
        parse_plan(document)


KEYS = ["static", "funcs", "plans", "type", "stmt", "blocks"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=10,
)


@given(JSON)
def test_only_plan_errors(document):
    """Whatever the document, reading it ends in a plan or a PlanError."""
    with contextlib.suppress(PlanError):
        parse_plan(document)


def test_operands_of_all_kinds():
    """Locals, strings and booleans."""
    read = parse_plan(
        plan(function("r", block(statement("EqualStmt", a=flag(value=True), b=string(0)))), strings=("s",))
    )
    assert read.functions[0].blocks[0][0] == ir.Equal(ir.Place("p.rego", 7, 2), ir.Constant(True), ir.Constant("s"))
