import pytest

from extauthz.languages.rego import Module
from extauthz.languages.rego.calls import all_callees, blocks_at, callees
from extauthz.languages.rego.ir import Plan
from extauthz.languages.rego.plan import parse_plan
from extauthz.languages.rego.verify import verify
from extauthz.sources.rego_planner import plan_with_regopy

POLICY = """package t

direct if lower("A") == "a"

through if direct

deep if through

alone := 1
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return verify(parse_plan(plan_with_regopy([Module("t.rego", POLICY)], ["t/deep", "t/alone"]))).plan


def test_what_blocks_call_themselves(plan: Plan):
    """A rule's own calls, each once: not those of the rules that it asks."""
    assert callees(blocks_at(plan, "t/through")[0], plan) == ("g0.data.t.direct",)
    assert callees(blocks_at(plan, "t/alone")[0], plan) == ()


def test_what_blocks_can_lead_to(plan: Plan):
    """Functions and built-ins, at any depth."""
    assert {"g0.data.t.through", "g0.data.t.direct", "lower"} <= all_callees(blocks_at(plan, "t/deep")[0], plan)
    assert all_callees(blocks_at(plan, "t/alone")[0], plan) == frozenset()


def test_a_dynamic_call_may_lead_to_every_rule_of_its_form():
    """A name that is known only at evaluation may be any rule's at that depth."""
    module = Module("t.rego", "package t\n\nr := data.u[input.x]\n")
    other = Module("u.rego", "package u\n\none := 1\n\ntwo := 2\n\nf(x) := x\n")
    plan = verify(parse_plan(plan_with_regopy([module, other], ["t", "u"]))).plan
    assert set(callees(blocks_at(plan, "t/r")[0], plan)) == {"g0.data.u.one", "g0.data.u.two"}


def test_blocks_of_what_there_is(plan: Plan):
    """A rule by its path, an entry point by its name; nothing else."""
    assert blocks_at(plan, "t/direct")[1][:2] == (0, 1)
    with pytest.raises(KeyError):
        blocks_at(plan, "t/none")
