import pytest

from extauthz.authoring.steps import Steps, take_steps
from extauthz.authoring.suite import WrittenRequest
from extauthz.model.access import ANONYMOUS, Principal
from tests.suites import NOW, runner

SNAPSHOT = runner().snapshot
CALLER = Principal(True, "max", "corp")


def steps(path: str, principal: Principal | None = CALLER, *, host: str = "shop.example", method: str = "GET") -> Steps:
    return take_steps(WrittenRequest(method, path, host), SNAPSHOT, NOW, principal, method=method)


def test_every_step_is_kept():
    """Path, host, route, what it binds, and who asks."""
    taken = steps("/orders/%37", host="SHOP.example:80")
    assert (taken.path, taken.host, taken.variables, taken.caller) == (
        "/orders/7",
        "shop.example",
        (("id", "7"),),
        CALLER,
    )
    assert taken.compiled is not None
    assert taken.compiled.route.name == "order"
    assert taken.reach_rules
    facts = taken.facts()
    assert facts is not None
    assert (facts.path, facts.path_variables, facts.principal) == ("/orders/7", {"id": "7"}, CALLER)


@pytest.mark.parametrize(
    ("taken", "refusal"),
    [
        (steps("/a//b"), "the path holds a repeated slash"),
        (steps("/", host="a@b"), "the host is not a single host name"),
        (steps("/nowhere"), ""),
    ],
)
def test_what_is_refused_goes_no_further(taken, refusal):
    """No route, no facts, no rules."""
    assert (taken.refusal, taken.compiled, taken.facts(), taken.reach_rules) == (refusal, None, None, False)


def test_nobody_reaches_only_routes_that_let_them():
    """Where authentication is required the rules have no say on a request of nobody; their facts can be asked for."""
    assert not steps("/orders", None).reach_rules
    assert steps("/healthz", None).reach_rules
    facts = steps("/orders", None).facts()
    assert facts is not None
    assert facts.principal is ANONYMOUS
