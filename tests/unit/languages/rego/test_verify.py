import pytest

from extauthz.errors import PolicyError
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.plan import parse_plan
from extauthz.languages.rego.verify import rule_name, verify
from tests.harness.rego_plans import RETURN, block, call, function, local, plan, rule_call, statement, string


def codes_of(document):
    with pytest.raises(PolicyError) as caught:
        verify(parse_plan(document))
    return [(d.code, str(d.span)) for d in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (plan(function("r", block(call("nope", result=3)), RETURN)), RegoCode.UNKNOWN_FUNCTION),
        (plan(function("r", block(call("http.send", local(1), result=3)), RETURN)), RegoCode.REFUSED_BUILTIN),
        (plan(function("r", block(call("count", result=3)), RETURN)), RegoCode.ARITY),
        (plan(function("r", block(call("count", local(1), local(1), result=3)), RETURN)), RegoCode.ARITY),
        (plan(function("r", block(rule_call("r", 3)), RETURN)), RegoCode.RECURSION),
        (
            plan(function("r", block(rule_call("s", 3)), RETURN), function("s", block(rule_call("r", 3)), RETURN)),
            RegoCode.RECURSION,
        ),
        (plan(function("r", block(call("count", local(8), result=3)), RETURN)), RegoCode.UNSAFE_VARIABLE),
        (plan(function("r", block(statement("BreakStmt", index=3)))), RegoCode.NOT_A_PLAN),
        (plan(function("r", block(statement("ResultSetAddStmt", value=1)))), RegoCode.NOT_A_PLAN),
        (plan(function("r", RETURN), function("r", RETURN)), RegoCode.NOT_A_PLAN),
        (plan(function("r", RETURN, parameters=(0, 0))), RegoCode.NOT_A_PLAN),
        (plan(function("r", RETURN, parameters=())), RegoCode.NOT_A_PLAN),
    ],
)
def test_findings(document, code):
    """Each at its place, with its code."""
    found = codes_of(document)
    assert code in {found_code for found_code, _ in found}
    assert code is RegoCode.NOT_A_PLAN or (code, "p.rego:7:2") in found


def test_all_findings_are_reported():
    """Not just the first one."""
    document = plan(function("r", block(call("nope", result=3), call("http.send", local(1), result=4)), RETURN))
    assert len(codes_of(document)) == 2


def test_recursion_through_a_dynamic_call():
    """A reference with a variable may come back to where it stands."""
    dynamic = statement("CallDynamicStmt", args=[0, 1], result=3, path=[string(0), string(1), local(1)])
    inner = block(dynamic)
    for _ in range(3):  # as OPA's planner wraps it
        inner = block(statement("BlockStmt", blocks=[inner]))
    document = plan(function("r", inner, RETURN), strings=("g0", "t"))
    assert [code for code, _ in codes_of(document)] == [RegoCode.RECURSION]
    other = plan(function("r", inner, RETURN), strings=("g0", "other"))
    assert verify(parse_plan(other)).plan.functions


def test_a_package_behind_a_variable():
    """Where the compiler does not provide for it, it is refused."""
    dynamic = statement("CallDynamicStmt", args=[local(0), local(1)], result=3, path=[string(0), local(1)])
    document = plan(function("r", block(dynamic), RETURN), function("s", RETURN), strings=("data",))
    assert {code for code, _ in codes_of(document)} == {RegoCode.NOT_PLANNED}


def test_names_are_the_authors():
    """Without the generation that a `with` adds."""
    assert rule_name("g12.data.a.b") == "data.a.b"
    assert rule_name("count") == "count"
